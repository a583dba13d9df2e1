#pragma once
#include <string>

#include "data/roll.h"

namespace poph {

// A piano roll as an SVG picture: time to the right, bars ruled, octaves of C labelled, volume as shade, each stroke a bar of its own.
std::string piano_roll_svg(const Roll& roll, const std::string& title);

}  // namespace poph
