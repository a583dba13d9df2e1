#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/music/roll.h"

// Chord files: JSON lists of notes that sound, as JSB Chorales and others come.
namespace poph {

inline constexpr std::array<const char*, 3> split_names = {"train", "valid", "test"};
inline constexpr Cell chord_velocity = 80;  // of every note, as a chord file says nothing of loudness

struct ChordPiece {
  int split = 0;  // into split_names
  int64_t index = 0, dropped_notes = 0;
  Roll roll;
};

// Reads a chord file (MODEL.md "Piano roll"): {"train": [[[60, 64], [], ..], ..], "valid": .., "test": ..}, steps as
// they stand, silent ones too. Anything else in it, a pitch outside 0..127 or a key given twice is an Error. At most
// 150 bytes of memory for each byte of the file and 16 kB, 1 us of a core for each and 50 ms.
std::vector<ChordPiece> parse_chords(std::span<const uint8_t> bytes, const RollSettings& settings);

}  // namespace poph
