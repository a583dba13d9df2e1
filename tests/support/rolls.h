#pragma once
#include <memory>
#include <random>
#include <vector>

#include "data/music/roll.h"

namespace poph::test {

struct Played {
  int64_t onset, duration, pitch;
};

// A piece of such notes, in any order; where one begins as another of its pitch ends it is struck again.
inline Roll roll_of(const std::vector<Played>& notes, int64_t steps = 0, int64_t lowest = 0, int64_t count = 128) {
  for (const Played& note : notes) steps = std::max(steps, note.onset + note.duration);
  std::vector<Cell> cells(steps * count);
  for (const Played& note : notes)
    for (int64_t step = note.onset; step < note.onset + note.duration; ++step)
      cells[step * count + note.pitch - lowest] = 64;
  for (const Played& note : notes)
    if (note.onset > 0 && cells[(note.onset - 1) * count + note.pitch - lowest])
      cells[note.onset * count + note.pitch - lowest] |= replay_bit;
  Roll roll(lowest, count);
  roll.append(cells);
  return roll;
}

// Every cell by chance.
inline Roll chance_roll(uint32_t seed, int64_t steps, int64_t lowest, int64_t notes, double density) {
  std::mt19937 random(seed);
  std::vector<Cell> cells(steps * notes);
  for (Cell& cell : cells)
    cell = static_cast<double>(random()) / 4294967296.0 < density ? static_cast<Cell>(1 + random() % 127) : Cell{0};
  Roll roll(lowest, notes);
  roll.append(cells);
  return roll;
}

}  // namespace poph::test
