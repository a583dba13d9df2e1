#include "data/reading/split.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "data/files/hash.h"
#include "data/files/text.h"
#include "tensor/error.h"

namespace poph {
namespace {

// The contents to hold out. The seed gives an order; in it contents are taken with all their copies while they fit.
std::unordered_set<uint64_t> held_out(std::vector<uint64_t> hashes, double share, uint64_t seed) {
  require(share >= 0 && share < 1, "data: a share of ", share, " held out, expected 0 or more and less than 1");
  const auto pieces = static_cast<int64_t>(hashes.size());
  std::unordered_set<uint64_t> chosen;
  if (share == 0 || pieces < 2) return chosen;
  const int64_t wanted = std::clamp<int64_t>(std::llround(share * static_cast<double>(pieces)), 1, pieces - 1);

  std::sort(hashes.begin(), hashes.end(),
            [&](uint64_t a, uint64_t b) { return std::pair(combined(seed, a), a) < std::pair(combined(seed, b), b); });
  int64_t taken = 0, min_copies = pieces;
  uint64_t rarest = hashes[0];
  for (size_t first = 0, last; first < hashes.size(); first = last) {
    for (last = first; last < hashes.size() && hashes[last] == hashes[first];) ++last;
    const auto copies = static_cast<int64_t>(last - first);
    if (copies < min_copies) min_copies = copies, rarest = hashes[first];
    if (taken + copies > wanted) continue;
    chosen.insert(hashes[first]);
    taken += copies;
  }
  if (taken == 0 && min_copies < pieces) chosen.insert(rarest);  // every content has more copies than were wanted
  return chosen;
}

int side_by_name(const std::string& name) {
  const size_t slash = name.rfind('/');
  const char first = name[slash == name.npos ? 0 : slash + 1];
  const bool hex = (first >= '0' && first <= '9') || (first >= 'a' && first <= 'f') || (first >= 'A' && first <= 'F');
  require(hex, "data.split = \"first_hex_digit\": found the file ", printable(name),
          ", expected names that begin with a hexadecimal digit, as Lakh's do");
  return first == 'e' || first == 'E' ? 1 : first == 'f' || first == 'F' ? 2 : 0;
}

}  // namespace

std::vector<int> split_pieces(const std::vector<SplitPiece>& pieces, Split rule, double share, uint64_t seed) {
  std::vector<int> sides(pieces.size(), 0);
  if (rule == Split::share) {
    std::vector<uint64_t> hashes;
    for (const SplitPiece& piece : pieces) hashes.push_back(piece.hash);
    const auto chosen = held_out(std::move(hashes), share, seed);
    for (size_t i = 0; i < pieces.size(); ++i) sides[i] = chosen.contains(pieces[i].hash) ? 1 : 0;
  } else if (rule == Split::first_hex_digit) {
    std::unordered_map<uint64_t, int> first_side;
    for (const SplitPiece& piece : pieces) {
      const int side = side_by_name(piece.name);
      const auto [known, is_new] = first_side.try_emplace(piece.hash, side);
      if (!is_new) known->second = std::min(known->second, side);
    }
    for (size_t i = 0; i < pieces.size(); ++i) sides[i] = first_side[pieces[i].hash];
  }
  return sides;
}

}  // namespace poph
