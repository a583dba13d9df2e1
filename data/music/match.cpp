#include "data/music/match.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>

#include "data/files/hash.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint8_t silent = 255;  // the lowest note where none sounds
constexpr int64_t max_notes = 128;

// What makes windows alike: for one step its frame, else the names of the two parts, and for transposed ones by how
// much the later part lies higher.
struct Parts {
  uint32_t earlier, later;
  int32_t higher;

  bool operator==(const Parts&) const = default;
};

uint64_t hash_of(const Parts& x) {
  return combined(uint64_t{x.earlier} << 32 | x.later, static_cast<uint64_t>(x.higher));
}
uint64_t hash_of(const Frame& x) { return mixed(with_words(fnv_start, &x, sizeof x)); }

uint8_t lowest_of(const Frame& frame) {
  if (frame.play[0]) return static_cast<uint8_t>(std::countr_zero(frame.play[0]));
  return frame.play[1] ? static_cast<uint8_t>(64 + std::countr_zero(frame.play[1])) : silent;
}

std::array<uint64_t, 2> lowered(std::array<uint64_t, 2> bits, int64_t by) {
  const unsigned __int128 both = static_cast<unsigned __int128>(bits[1]) << 64 | bits[0], moved = both >> by;
  return {static_cast<uint64_t>(moved), static_cast<uint64_t>(moved >> 64)};
}

Frame from_lowest(const Frame& frame) {
  const uint8_t lowest = lowest_of(frame);
  return lowest == silent ? frame : Frame{lowered(frame.play, lowest), lowered(frame.replay, lowest)};
}

}  // namespace

Frame frame_of(const Roll& roll, int64_t step) {
  Frame frame;
  std::array<Cell, max_notes> room;
  const std::span<Cell> cells(room.data(), static_cast<size_t>(roll.notes()));
  roll.row(step, cells);
  for (int64_t note = 0; note < roll.notes(); ++note)
    if (cells[note]) frame.set(note, cells[note] & replay_bit);
  return frame;
}

MatchFinder::MatchFinder(int64_t notes, int64_t channels) : replays_(channels > 1) {
  require(notes >= 1 && notes <= max_notes, "match: ", notes, " notes, expected 1 to ", max_notes);
  const auto index = [](const std::vector<Table>& tables, int64_t length) {
    const auto has = [&](const Table& table) { return table.length == length; };
    return std::find_if(tables.begin(), tables.end(), has) - tables.begin();
  };
  for (int64_t length : exact_lengths) {  // the halves, and 3 = 2 + 1
    const int64_t later = length / 2;
    exact_.push_back({.length = length});
    if (length > 1) exact_.back().part = {index(exact_, length - later), index(exact_, later)};
  }
  transposed_.push_back({.length = 1});
  for (int64_t length : transposed_lengths) {
    const int64_t half = index(transposed_, length / 2);
    transposed_.push_back({.length = length, .part = {half, half}});
  }
  for (Table& table : transposed_) table.lowest = {silent};
}

template <class KeyAt>
void MatchFinder::Table::add(const KeyAt& key_at) {
  const auto now = static_cast<uint32_t>(name.size());
  if (4 * uint64_t{names} >= 3 * latest.size()) {
    std::vector<uint32_t> old(std::max<size_t>(8, 2 * latest.size()));
    old.swap(latest);
    for (uint32_t at : old) {
      if (at == 0) continue;
      size_t slot = hash_of(key_at(at)) & (latest.size() - 1);
      while (latest[slot] != 0) slot = (slot + 1) & (latest.size() - 1);
      latest[slot] = at;
    }
  }
  const auto key = key_at(now);
  size_t slot = hash_of(key) & (latest.size() - 1);
  while (latest[slot] != 0 && !(key_at(latest[slot]) == key)) slot = (slot + 1) & (latest.size() - 1);
  before = latest[slot];
  latest[slot] = now;
  names += before == 0;
  name.push_back(before != 0 ? name[before] : now);
}

void MatchFinder::append(Frame frame) {
  if (!replays_) frame.replay = {};
  require(steps() < 2 * max_steps, "match: a piece of more than ", 2 * max_steps, " steps");
  frames_.push_back(frame);
  const int64_t now = steps();
  for (Table& table : exact_) {
    if (now < table.length) {
      table.name.push_back(0);
    } else if (table.length == 1) {
      table.add([&](int64_t end) { return frames_[end - 1]; });
    } else {
      const Table &earlier = exact_[table.part[0]], &later = exact_[table.part[1]];
      table.add([&](int64_t end) { return Parts{earlier.name[end - later.length], later.name[end], 0}; });
    }
  }
  for (Table& table : transposed_) {
    if (now < table.length) {
      table.name.push_back(0);
      table.lowest.push_back(silent);
    } else if (table.length == 1) {
      table.add([&](int64_t end) { return from_lowest(frames_[end - 1]); });
      table.lowest.push_back(lowest_of(frame));
    } else {
      const Table& half = transposed_[table.part[0]];
      table.add([&](int64_t end) {
        const int64_t middle = end - half.length;
        const uint8_t low = half.lowest[middle], next = half.lowest[end];
        return Parts{half.name[middle], half.name[end], low == silent || next == silent ? 0 : next - low};
      });
      table.lowest.push_back(std::min(half.lowest[now - half.length], half.lowest[now]));
    }
  }
}

Matches MatchFinder::next() const {
  Matches found;
  for (const Table& table : exact_)
    if (table.before != 0) found.exact = {table.before, static_cast<int16_t>(table.length), 0};
  for (const Table& table : transposed_) {
    if (table.length == 1 || table.before == 0 || table.lowest.back() == silent) continue;
    found.transposed = {table.before, static_cast<int16_t>(table.length),
                        static_cast<int16_t>(table.lowest.back() - table.lowest[table.before])};
  }
  return found;
}

std::vector<Matches> find_matches(const Roll& roll, int64_t channels) {
  MatchFinder finder(roll.notes(), channels);
  std::vector<Matches> found(static_cast<size_t>(roll.steps()));
  for (int64_t step = 0; step < roll.steps(); ++step) {
    found[step] = finder.next();
    finder.append(frame_of(roll, step));
  }
  return found;
}

template <class T>
void write_match_features(const Matches& matches, const T* exact, const T* transposed, int64_t notes, int64_t channels,
                          int64_t pitch_shift, T* out) {
  const int64_t features = match_features(channels), each = features / match_kinds;
  std::fill_n(out, notes * features, T{0});
  const auto write = [&](const Match& match, const T* predicted, T* to) {
    if (match.length == 0) return;
    const T sure = static_cast<T>(std::log2(1.0 + match.length) / std::log2(1.0 + exact_lengths.back()));
    for (int64_t note = 0; note < notes; ++note, to += features) {
      const int64_t before = note - pitch_shift,
                    source = before - match.shift;  // both moves drop what leaves the range
      to[0] = -sure;
      if (std::min(before, source) < 0 || std::max(before, source) >= notes) continue;
      const T* cell = predicted + source * channels;
      if (cell[0] == 0) continue;
      to[0] = sure;
      std::copy_n(cell, each - 1, to + 1);
    }
  };
  write(matches.exact, exact, out);
  write(matches.transposed, transposed, out + each);
}

template <class T>
void unpack_matches(const Roll& roll, std::span<const Matches> matches, int64_t first_step, int64_t count,
                    int64_t channels, int64_t pitch_shift, T* out, int64_t step_stride) {
  require(std::ssize(matches) == roll.steps(), "match: matches of ", matches.size(), " steps, expected ", roll.steps());
  const int64_t notes = roll.notes(), cells = notes * channels;
  std::vector<T> exact(cells), transposed(cells);
  for (int64_t step = first_step; step < first_step + count; ++step, out += step_stride) {
    const Matches found = step >= 0 && step < roll.steps() ? matches[step] : Matches{};
    if (found.exact.length) roll.unpack(found.exact.from, 1, channels, 0, exact.data(), cells);
    if (found.transposed.length) roll.unpack(found.transposed.from, 1, channels, 0, transposed.data(), cells);
    write_match_features(found, exact.data(), transposed.data(), notes, channels, pitch_shift, out);
  }
}

template void write_match_features(const Matches&, const float*, const float*, int64_t, int64_t, int64_t, float*);
template void write_match_features(const Matches&, const double*, const double*, int64_t, int64_t, int64_t, double*);
template void unpack_matches(const Roll&, std::span<const Matches>, int64_t, int64_t, int64_t, int64_t, float*,
                             int64_t);
template void unpack_matches(const Roll&, std::span<const Matches>, int64_t, int64_t, int64_t, int64_t, double*,
                             int64_t);

}  // namespace poph
