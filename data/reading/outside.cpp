#include "data/reading/outside.h"

#include <algorithm>

namespace poph {

bool is_part_of_the_piano(const RollSettings& settings) {
  return settings.lowest_note >= lowest_piano_key && settings.notes < piano_keys &&
         settings.lowest_note + settings.notes <= lowest_piano_key + piano_keys;
}

RollSettings whole_piano(RollSettings settings) {
  settings.lowest_note = lowest_piano_key;
  settings.notes = piano_keys;
  return settings;
}

OutsideKeys outside_keys(const Roll& whole, const Roll& part) {
  std::vector<OutsideKey> keys(static_cast<size_t>(whole.notes()));
  const int64_t steps = std::min(whole.steps(), part.steps());
  for (int64_t step = 0; step < steps; ++step) {
    const auto bits = whole.play_bits(step);
    for (int64_t note = 0; note < whole.notes(); ++note) {
      if (!(bits[note / 64] >> note % 64 & 1)) continue;
      ++keys[note].steps;
      if (step == 0) keys[note].first = true;
    }
  }
  OutsideKeys found;
  for (int64_t note = 0; note < whole.notes(); ++note) {
    const int64_t pitch = whole.lowest_note() + note;
    keys[note].pitch = static_cast<uint8_t>(pitch);
    if (keys[note].steps > 0 && (pitch < part.lowest_note() || pitch >= part.lowest_note() + part.notes()))
      found.push_back(keys[note]);
  }
  return found;
}

}  // namespace poph
