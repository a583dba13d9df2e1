#pragma once
#include <cstdint>
#include <vector>

#include "data/music/roll.h"

// The keys of the piano that a model of fewer keys does not read, as counts: enough for its exact likelihood on all 88
// (data/measures/key_counts.h), and a few bytes a piece.
namespace poph {

inline constexpr int64_t lowest_piano_key = 21, piano_keys = 88;

struct OutsideKey {
  uint8_t pitch = 0;   // MIDI's
  bool first = false;  // it sounds in the piece's first step
  uint32_t steps = 0;  // of the piece, in which it sounds
  bool operator==(const OutsideKey&) const = default;
};
using OutsideKeys = std::vector<OutsideKey>;  // those that sound, ascending

// Whether these are keys of the piano, and not all of them.
bool is_part_of_the_piano(const RollSettings& settings);
RollSettings whole_piano(RollSettings settings);

// Of the same piece read as the whole piano. What sounds behind the end of `part` does not count: no step is there.
OutsideKeys outside_keys(const Roll& whole, const Roll& part);

}  // namespace poph
