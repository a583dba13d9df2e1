#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "data/music/roll.h"

// What is fixed of a piece before it is composed (MODEL.md "Conditions"): cells that sound or are silent, and how many
// notes may sound at once. Steps count from the first one that is composed.
namespace poph {

enum class Play : uint8_t { free, silent, sounds };

struct FixedCell {
  Play play = Play::free;
  bool struck = false;  // of one that sounds: it begins here, where it sounds a step ago as a replay
  Cell velocity = 0;    // of one that sounds, 1 to 127

  bool operator==(const FixedCell&) const = default;
};

struct Constraint {
  int64_t notes = 0;
  std::vector<FixedCell> cells = {};     // [step][note]; all that come later are free
  std::vector<bool> always_silent = {};  // [note], of cells that are free; empty: none
  int64_t most_notes = 0;                // that sound in a step; 0: any number

  int64_t steps() const { return notes == 0 ? 0 : static_cast<int64_t>(cells.size()) / notes; }

  FixedCell at(int64_t step, int64_t note) const {
    const FixedCell cell = step < steps() ? cells[step * notes + note] : FixedCell{};
    const bool silent = cell.play == Play::free && !always_silent.empty() && always_silent[note];
    return silent ? FixedCell{.play = Play::silent} : cell;
  }

  // Of a step; where there are more than most_notes, nothing can be composed.
  int64_t given_notes(int64_t step) const {
    int64_t count = 0;
    for (int64_t note = 0; note < notes; ++note) count += at(step, note).play == Play::sounds;
    return count;
  }

  bool fixes_nothing() const {
    const auto is_free = [](const FixedCell& cell) { return cell.play == Play::free; };
    return (most_notes == 0 || most_notes >= notes) && std::all_of(cells.begin(), cells.end(), is_free) &&
           std::find(always_silent.begin(), always_silent.end(), true) == always_silent.end();
  }
};

}  // namespace poph
