#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/music/roll.h"

// Piano rolls as PNG pictures, for programs that do not take the SVG of piano_roll_svg.h: TensorBoard.
namespace poph {

struct Png {
  std::string bytes;
  int64_t width = 0, height = 0;  // pixels
};

// Three bytes a pixel, row by row from the top.
Png encode_png(const std::vector<uint8_t>& rgb, int64_t width, int64_t height);

// Time runs to the right. A note is four pixels high and a step four pixels wide, or fewer, so that the picture is at
// most 8,192 wide; later steps are left out. Volume is shade, a light edge shows where a note is struck, bars are
// ruled, and each C is shaded.
Png piano_roll_png(const Roll& roll, int64_t steps_per_quarter);

}  // namespace poph
