#pragma once
#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/compose/composer.h"

// A composed step as the page and `poph generate --json` have it: [log probability, [[pitch, velocity, struck again,
// probability, given], ..]], rounded to four digits behind the point.
namespace poph {

inline nlohmann::ordered_json step_json(const ComposedStep& step, int64_t lowest_note) {
  const auto rounded = [](double x) { return std::round(1e4 * x) / 1e4; };
  nlohmann::ordered_json notes = nlohmann::ordered_json::array();
  for (const SoundingNote& note : step.notes)
    notes.push_back({lowest_note + note.note, note.cell & velocity_bits, (note.cell & replay_bit) != 0,
                     rounded(note.probability), note.given});
  return {rounded(step.log_probability), notes};
}

}  // namespace poph
