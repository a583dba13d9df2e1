#pragma once
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "data/measures/harmony.h"

// Scales by their names.
namespace poph {

using Scale = std::array<bool, pitch_classes>;  // whether C, C#, .., B belong to it

// 0 to 11 of "C", "F#", "Bb", .. or of the number itself; nothing for any other text.
inline std::optional<int> pitch_class_of(std::string_view name) {
  if (int number = 0; !name.empty() && name[0] != '-') {
    const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc() && rest == name.data() + name.size())
      return number < pitch_classes ? std::optional(number) : std::nullopt;
  }
  constexpr std::string_view letters = "C D EF G A B";
  const size_t letter = name.empty() || name[0] == ' ' ? letters.npos : letters.find(name[0]);
  if (letter == letters.npos) return {};
  int pitch_class = static_cast<int>(letter);
  for (const char accidental : name.substr(1)) {
    if (accidental != '#' && accidental != 'b') return {};
    pitch_class += accidental == '#' ? 1 : 11;
  }
  return pitch_class % 12;
}

// The notes of a key, "D minor" (natural minor) or "C# major", or those that are listed: "C D E G A", "0 2 4 7 9".
// Nothing for any other text.
inline std::optional<Scale> scale_of(std::string_view text) {
  constexpr std::string_view major = " major", minor = " minor";
  Scale scale{};
  if (text.ends_with(major) || text.ends_with(minor)) {
    const std::optional<int> tonic = pitch_class_of(text.substr(0, text.size() - major.size()));
    if (!tonic) return {};
    const std::vector<double> costs = disharmony_matrix(HarmonyMatrix::diatonic);
    const int key = *tonic + (text.ends_with(minor) ? pitch_classes : 0);
    for (int i = 0; i < pitch_classes; ++i) scale[i] = costs[key * pitch_classes + i] == 0;
    return scale;
  }
  bool any = false;
  while (!text.empty()) {
    const size_t end = text.find_first_of(" ,");
    const std::string_view name = text.substr(0, end);
    text = end == text.npos ? "" : text.substr(end + 1);
    if (name.empty()) continue;  // two spaces, or a comma and a space
    const std::optional<int> note = pitch_class_of(name);
    if (!note) return {};
    scale[*note] = any = true;
  }
  return any ? std::optional(scale) : std::nullopt;
}

}  // namespace poph
