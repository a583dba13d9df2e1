#pragma once
#include <string>
#include <vector>

#include "data/music/roll.h"

// What decode leaves out of a piece, in words.
namespace poph {

// "all 20 notes are out of range (60 to 71)": why nothing of a piece sounds.
std::string why_silent(int64_t dropped_notes, int64_t percussion_notes, const RollSettings& settings);

// "12 of 16 notes are out of range (60 to 71)" of a piece with so many note-ons; no line where nothing is left out.
std::vector<std::string> left_out(int64_t notes, int64_t dropped_notes, int64_t percussion_notes,
                                  const RollSettings& settings);

}  // namespace poph
