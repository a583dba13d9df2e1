#pragma once
#include <string>

#include "data/music/roll.h"

// Piano rolls as SVG pictures: beside the samples of a run and in its report.
namespace poph {

// In the picture's own units, step s begins at picture_left + s * picture_step.
inline constexpr int picture_left = 34, picture_step = 4;

// Light or dark as its reader's screen. Time runs to the right, bars are ruled and numbered, each C is labelled, and
// volume is shade. Each onset starts a bar of its own, with a bright edge where the note sounded already.
std::string piano_roll_svg(const Roll& roll, const std::string& title, int64_t steps_per_quarter);

}  // namespace poph
