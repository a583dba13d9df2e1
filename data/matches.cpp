#include "data/matches.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "data/files/threads.h"
#include "tensor/error.h"

namespace poph {
namespace {

using Found = std::shared_ptr<const std::vector<Matches>>;

// Of each different roll whose matches are not known yet.
std::map<const Roll*, Found> matches_of(std::span<const std::span<Piece>> groups, int64_t channels, int threads) {
  std::map<const Roll*, Found> found;
  for (const std::span<Piece> pieces : groups)
    for (const Piece& piece : pieces)
      if (!piece.matches[channels > 1]) found[piece.roll.get()];
  std::vector<std::pair<const Roll* const, Found>*> work;
  for (auto& one : found) work.push_back(&one);
  std::atomic<size_t> next = 0;
  const auto cores = static_cast<size_t>(threads > 0 ? threads : std::max(1U, std::thread::hardware_concurrency()));
  in_threads(
      std::clamp<size_t>(work.size(), 1, cores),
      [&](size_t) {
        for (size_t i; (i = next++) < work.size();)
          work[i]->second = std::make_shared<const std::vector<Matches>>(find_matches(*work[i]->first, channels));
      },
      [&] { next = work.size(); });
  return found;
}

void find_in_groups(std::span<const std::span<Piece>> groups, int64_t channels, int threads) {
  const std::map<const Roll*, Found> found = matches_of(groups, channels, threads);
  for (const std::span<Piece> pieces : groups)
    for (Piece& piece : pieces)
      if (!piece.matches[channels > 1]) piece.matches[channels > 1] = found.at(piece.roll.get());
}

}  // namespace

void find_matches(std::span<Piece> pieces, int64_t channels, int threads) {
  find_in_groups(std::array{pieces}, channels, threads);
}

void find_matches(Corpus& corpus, int64_t channels, int threads) {
  find_in_groups(std::array<std::span<Piece>, 3>{corpus.train, corpus.valid, corpus.test}, channels, threads);
}

void fill_matches(const Batch& batch, int64_t b, int64_t at, int64_t count, const Piece& piece, int64_t first,
                  int64_t pitch_shift) {
  const int64_t size = batch.input.shape()[1], channels = batch.input.shape().last(), notes = piece.roll->notes();
  const int64_t row = notes * match_features(channels);
  const Shape expected{batch.input.shape()[0], size, notes, match_features(channels)};
  require(batch.match.shape() == expected, "match: a batch of ", batch.match.shape(), ", expected ", expected);
  const auto& matches = piece.matches[channels > 1];
  require(matches != nullptr, "match: the matches of ", piece.name, " are not known");
  const auto fill = [&]<class T>(T* out) {
    unpack_matches(*piece.roll, std::span(*matches), first, count, channels, pitch_shift, out + (at * size + b) * row,
                   size * row);
  };
  if (batch.match.dtype() == Dtype::f32)
    fill(batch.match.data<float>());
  else
    fill(batch.match.data<double>());
}

}  // namespace poph
