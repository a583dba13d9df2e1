#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "data/files/hash.h"
#include "data/music/roll.h"

// MIDI files written out by hand, byte by byte, so that tests do not lean on our own writer.
namespace poph::test {

using Bytes = std::vector<uint8_t>;

inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline Bytes chunk(const char* kind, const Bytes& content) {
  const auto n = static_cast<uint32_t>(content.size());
  return Bytes{uint8_t(kind[0]), uint8_t(kind[1]), uint8_t(kind[2]), uint8_t(kind[3]),
               uint8_t(n >> 24), uint8_t(n >> 16), uint8_t(n >> 8),  uint8_t(n)} +
         content;
}

inline Bytes header(int format, int tracks, int division) {
  return chunk("MThd", {uint8_t(format >> 8), uint8_t(format), uint8_t(tracks >> 8), uint8_t(tracks),
                        uint8_t(division >> 8), uint8_t(division)});
}

inline const Bytes end_of_track = {0, 0xFF, 0x2F, 0};

// One track at 4 ticks per quarter: with four steps to a quarter, a tick is a step.
inline Bytes one_track(const Bytes& events, int division = 4, int format = 1) {
  return header(format, 1, division) + chunk("MTrk", events);
}

// A roll as text: a row of the notes' velocities per step, "'" after a replayed one, "." for silence; rows end with
// "|".
inline std::string text_of(const Roll& roll) {
  std::string text;
  for (int64_t step = 0; step < roll.steps(); ++step) {
    for (int64_t n = 0; n < roll.notes(); ++n) {
      const Cell cell = roll.cell(step, n);
      text += n ? " " : "";
      text += cell == 0 ? "." : std::to_string(cell & velocity_bits) + (cell & replay_bit ? "'" : "");
    }
    text += "|";
  }
  return text;
}

// splitmix64, for random cases that are the same everywhere.
struct Random {
  uint64_t state;
  int64_t below(int64_t end) { return static_cast<int64_t>(next_random(state) % static_cast<uint64_t>(end)); }
};

// A roll that survives encoding: volumes constant through a note, replays only where a note goes on.
inline Roll random_roll(Random& random, int64_t steps, int64_t lowest_note = 60, int64_t notes = 12) {
  Roll roll(lowest_note, notes);
  std::vector<Cell> cells(static_cast<size_t>(notes));
  for (int64_t step = 0; step < steps; ++step) {
    for (Cell& cell : cells) {
      const bool on = random.below(3) > 0 || step == steps - 1;
      const Cell fresh = static_cast<Cell>(1 + random.below(127));
      const int64_t choice = random.below(3);
      if (cell == 0)
        cell = on && random.below(2) ? fresh : Cell{0};
      else if (!on)
        cell = 0;
      else
        cell = choice == 0 ? Cell(fresh | replay_bit) : Cell(cell & velocity_bits);
    }
    if (step == steps - 1) cells[0] = cells[0] ? cells[0] : Cell{64};  // a silent end would be cut off
    roll.append(cells);
  }
  return roll;
}

}  // namespace poph::test
