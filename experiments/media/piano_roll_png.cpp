#include "experiments/media/piano_roll_png.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr int64_t note_height = 4, max_width = 8192;

void add_u32(std::string& to, uint32_t x) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(x >> shift);
}

void add_chunk(std::string& to, const std::string& type, const std::string& data) {
  add_u32(to, static_cast<uint32_t>(data.size()));
  const std::string checked = type + data;
  to += checked;
  add_u32(to, static_cast<uint32_t>(
                  crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()))));
}

using Color = std::array<uint8_t, 3>;

// From nearly white to a dark blue.
Color shade(Cell cell) {
  const double ink = 0.3 + 0.7 * (cell & velocity_bits) / 127;
  const auto mixed = [&](int full) { return static_cast<uint8_t>(255 + ink * (full - 255)); };
  return {mixed(0x1f), mixed(0x5f), mixed(0xbf)};
}

}  // namespace

Png encode_png(const std::vector<uint8_t>& rgb, int64_t width, int64_t height) {
  require(width > 0 && height > 0 && std::ssize(rgb) == 3 * width * height, "png: ", rgb.size(), " bytes for ", width,
          " x ", height, " pixels, expected three for each of one or more");
  std::string rows;
  for (int64_t y = 0; y < height; ++y) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<const char*>(&rgb[y * width * 3]), width * 3);
  }
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  std::string data(size, '\0');
  const int status = compress2(reinterpret_cast<Bytef*>(data.data()), &size,
                               reinterpret_cast<const Bytef*>(rows.data()), static_cast<uLong>(rows.size()), 9);
  require(status == Z_OK, "png: zlib ended with status ", status);
  data.resize(size);
  std::string header;
  add_u32(header, static_cast<uint32_t>(width));
  add_u32(header, static_cast<uint32_t>(height));
  header += std::string("\x08\x02\0\0\0", 5);  // 8 bits, RGB
  Png png{"\x89PNG\r\n\x1a\n", width, height};
  add_chunk(png.bytes, "IHDR", header);
  add_chunk(png.bytes, "IDAT", data);
  add_chunk(png.bytes, "IEND", "");
  return png;
}

Png piano_roll_png(const Roll& roll, int64_t steps_per_quarter) {
  const int64_t step_width = std::clamp<int64_t>(max_width / std::max<int64_t>(1, roll.steps()), 1, 4);
  const int64_t steps = std::clamp<int64_t>(roll.steps(), 1, max_width), notes = roll.notes();
  const int64_t width = steps * step_width, height = notes * note_height;
  std::vector<uint8_t> rgb(3 * width * height);
  std::vector<Cell> cells(notes), before(notes);
  const Bars bars(roll.meters(), steps_per_quarter);
  for (int64_t step = 0; step < steps; ++step) {
    roll.row(step, cells);
    const Bars::Bar bar = bars.bar_of(step);
    for (int64_t note = 0; note < notes; ++note) {
      const bool octave = (roll.lowest_note() + note) % 12 == 0,
                 struck = cells[note] != 0 && (before[note] == 0 || (cells[note] & replay_bit));
      for (int64_t x = 0; x < step_width; ++x)
        for (int64_t y = 0; y < note_height; ++y) {
          Color color = octave ? Color{235, 238, 243} : Color{255, 255, 255};
          if (x == 0 && (step - bar.first) % steps_per_quarter == 0)
            color = step == bar.first ? Color{138, 148, 166} : Color{221, 225, 232};
          if (cells[note] && y + 1 < note_height && !(struck && x == 0 && step_width > 1)) color = shade(cells[note]);
          std::copy(color.begin(), color.end(),
                    &rgb[3 * (((notes - 1 - note) * note_height + y) * width + step * step_width + x)]);
        }
    }
    before = cells;
  }
  return encode_png(rgb, width, height);
}

}  // namespace poph
