#pragma once
#include <string>

#include "data/roll.h"

namespace poph {

// Where things are in the picture, in its own units: step s begins at picture_left + s * picture_step.
inline constexpr int picture_left = 34, picture_step = 4;

// A piano roll as an SVG picture, light or dark as its reader's screen: time to the right, bars ruled and numbered, octaves of C
// labelled, volume as shade. Each stroke is a bar of its own; one that is struck while the note sounds has a bright edge.
std::string piano_roll_svg(const Roll& roll, const std::string& title);

}  // namespace poph
