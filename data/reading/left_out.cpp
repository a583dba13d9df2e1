#include "data/reading/left_out.h"

#include "tensor/error.h"

namespace poph {
namespace {

constexpr const char* percussion = "percussion, on channel 10; data.percussion = true reads it";

std::string range(const RollSettings& settings) {
  return joined("out of range (", settings.lowest_note, " to ", settings.lowest_note + settings.notes - 1, ")");
}

}  // namespace

std::string why_silent(int64_t dropped_notes, int64_t percussion_notes, const RollSettings& settings) {
  if (dropped_notes > 0 && percussion_notes > 0)
    return joined("no note sounds: ", dropped_notes, " are ", range(settings), ", ", percussion_notes, " are ",
                  percussion);
  if (dropped_notes > 0) return joined("all ", dropped_notes, " notes are ", range(settings));
  if (percussion_notes > 0) return joined("all ", percussion_notes, " notes are ", percussion);
  return "no note sounds";
}

std::vector<std::string> left_out(int64_t notes, int64_t dropped_notes, int64_t percussion_notes,
                                  const RollSettings& settings) {
  std::vector<std::string> lines;
  if (dropped_notes > 0) lines.push_back(joined(dropped_notes, " of ", notes, " notes are ", range(settings)));
  if (percussion_notes > 0) lines.push_back(joined(percussion_notes, " of ", notes, " notes are ", percussion));
  return lines;
}

}  // namespace poph
