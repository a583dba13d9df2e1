#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/roll.h"

namespace poph {

struct Png {
  std::string bytes;
  int64_t width = 0, height = 0;  // pixels
};

// Three bytes a pixel, row by row from the top.
Png encode_png(const std::vector<uint8_t>& rgb, int64_t width, int64_t height);

// A piano roll in pixels for programs that do not take the SVG of picture.h: time to the right, four pixels a step (fewer where
// that would be wider than 8,192, and then no more than so many steps), four a note, volume as shade, a light edge where a note
// is struck, bars ruled, octaves of C shaded.
Png piano_roll_png(const Roll& roll);

}  // namespace poph
