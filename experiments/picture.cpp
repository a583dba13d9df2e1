#include "experiments/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "data/windows.h"

namespace poph {
namespace {

constexpr int step_width = 4, note_height = 5, left = 34, top = 22, bottom = 18;

std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '<') result += "&lt;";
    else if (c == '>') result += "&gt;";
    else if (c == '&') result += "&amp;";
    else result += c;
  }
  return result;
}

}  // namespace

std::string piano_roll_svg(const Roll& roll, const std::string& title) {
  const int64_t steps = roll.steps(), notes = roll.notes(), width = left + std::max<int64_t>(steps, 1) * step_width + 8,
                height = top + notes * note_height + bottom, foot = top + notes * note_height;
  std::string svg;
  const auto out = std::back_inserter(svg);
  const auto y_of = [&](int64_t note) { return top + (notes - 1 - note) * note_height; };
  fmt::format_to(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" font-family=\"sans-serif\" "
                 "font-size=\"10\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n<text x=\"{2}\" y=\"14\" font-size=\"12\">{3}</text>\n",
                 width, height, left, escaped(title));
  for (int64_t note = 0; note < notes; ++note) {
    const int64_t pitch = roll.lowest_note() + note, pitch_class = pitch % 12;
    if (pitch_class == 1 || pitch_class == 3 || pitch_class == 6 || pitch_class == 8 || pitch_class == 10)
      fmt::format_to(out, "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#f1f3f6\"/>\n", left, y_of(note), steps * step_width, note_height);
    if (pitch_class == 0) fmt::format_to(out, "<text x=\"4\" y=\"{}\">C{}</text>\n", y_of(note) + note_height, pitch / 12 - 1);
  }
  for (int64_t step = 0; step <= steps; step += 4) {
    const bool bar = step % steps_per_bar == 0;
    fmt::format_to(out, "<path d=\"M{} {}V{}\" stroke=\"{}\" stroke-width=\"{}\"/>\n", left + step * step_width, top, foot, bar ? "#8a94a6" : "#dde1e8",
                   bar ? 1 : 0.5);
    if (bar && step < steps && step / steps_per_bar % 4 == 0)
      fmt::format_to(out, "<text x=\"{}\" y=\"{}\">{}</text>\n", left + step * step_width + 2, foot + 12, step / steps_per_bar + 1);
  }
  for (int64_t note = 0; note < notes; ++note)
    for (int64_t step = 0; step < steps;) {
      const Cell first = roll.cell(step, note);
      int64_t end = step + 1;
      if (first) {  // one bar of the picture for one stroke: until silence or the next replay
        while (end < steps && roll.cell(end, note) && !(roll.cell(end, note) & replay_bit)) ++end;
        fmt::format_to(out, "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#1f5fbf\" fill-opacity=\"{:.2f}\"/>\n", left + step * step_width,
                       y_of(note), (end - step) * step_width - 0.8, note_height - 0.6, 0.3 + 0.7 * (first & velocity_bits) / 127.0);
      }
      step = end;
    }
  return svg + "</svg>\n";
}

}  // namespace poph
