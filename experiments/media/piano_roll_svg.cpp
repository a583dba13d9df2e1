#include "experiments/media/piano_roll_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "data/files/text.h"

namespace poph {
namespace {

constexpr int note_height = 5, top = 22, bottom = 18;

constexpr const char* style =
    "<style>text{fill:#1b2430}.page{fill:#fff}.black{fill:#f1f3f6}.n{fill:#1f5fbf}"
    ".again{stroke:#d1410a;stroke-width:1.4}.bar{stroke:#8a94a6}.beat{stroke:#dde1e8;stroke-width:.5}\n"
    "@media(prefers-color-scheme:dark){text{fill:#c3ccd8}.page{fill:#14181f}.black{fill:#1c222b}.n{fill:#7fb2ff}"
    ".again{stroke:#ffb066}.bar{stroke:#657083}.beat{stroke:#2b323d}}</style>\n";

bool black_key(int64_t pitch_class) {
  return pitch_class == 1 || pitch_class == 3 || pitch_class == 6 || pitch_class == 8 || pitch_class == 10;
}

}  // namespace

std::string piano_roll_svg(const Roll& roll, const std::string& title, int64_t steps_per_quarter) {
  const int64_t steps = roll.steps(), notes = roll.notes(),
                width = picture_left + std::max<int64_t>(steps, 60) * picture_step + 8,
                foot = top + notes * note_height, height = foot + bottom;
  std::string svg, again;
  const auto out = std::back_inserter(svg);
  const auto x_of = [](int64_t step) { return picture_left + step * picture_step; };
  const auto y_of = [&](int64_t note) { return top + (notes - 1 - note) * note_height; };
  fmt::format_to(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
                 "font-family=\"sans-serif\" font-size=\"10\">\n{4}<rect class=\"page\" width=\"{0}\" "
                 "height=\"{1}\"/>\n<text x=\"{2}\" y=\"14\" "
                 "font-size=\"12\">{3}</text>\n",
                 width, height, picture_left, escaped_html(title), style);
  for (int64_t note = 0; note < notes; ++note) {
    const int64_t pitch = roll.lowest_note() + note;
    if (black_key(pitch % 12))
      fmt::format_to(out, "<rect class=\"black\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", picture_left,
                     y_of(note), steps * picture_step, note_height);
    if (pitch % 12 == 0)
      fmt::format_to(out, "<text x=\"4\" y=\"{}\">C{}</text>\n", y_of(note) + note_height, pitch / 12 - 1);
  }
  const std::vector<Bars::Bar> bars = Bars(roll.meters(), steps_per_quarter).until(steps + 1);
  for (size_t i = 0; i < bars.size(); ++i) {
    for (int64_t step = bars[i].first; step < bars[i].end && step <= steps; step += steps_per_quarter)
      fmt::format_to(out, "<path class=\"{}\" d=\"M{} {}V{}\"/>\n", step == bars[i].first ? "bar" : "beat", x_of(step),
                     top, foot);
    if (i % 4 == 0 && bars[i].first < steps)
      fmt::format_to(out, "<text x=\"{}\" y=\"{}\">{}</text>\n", x_of(bars[i].first) + 2, foot + 12, i + 1);
  }
  svg += "<g class=\"n\">\n";
  for (int64_t note = 0; note < notes; ++note)
    for (int64_t step = 0; step < steps;) {
      const Cell first = roll.cell(step, note);
      int64_t end = step + 1;
      if (first) {  // one bar of the picture for one onset: until silence or the next replay
        while (end < steps && roll.cell(end, note) && !(roll.cell(end, note) & replay_bit)) ++end;
        fmt::format_to(out, "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" opacity=\"{:.2f}\"/>\n", x_of(step),
                       y_of(note), (end - step) * picture_step - 0.8, note_height - 0.6,
                       0.3 + 0.7 * (first & velocity_bits) / 127.0);
        if (first & replay_bit) again += fmt::format("M{} {}v{}", x_of(step) + 0.3, y_of(note), note_height - 0.6);
      }
      step = end;
    }
  svg += "</g>\n";
  if (!again.empty()) svg += fmt::format("<path class=\"again\" d=\"{}\"/>\n", again);
  return svg + "</svg>\n";
}

}  // namespace poph
