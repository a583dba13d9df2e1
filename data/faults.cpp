#include "data/faults.h"

#include <array>
#include <utility>

namespace poph {
namespace {

// What a reason holds, and the kind it is of; the first that fits.
constexpr std::array kinds = {
    std::pair{"found nothing", "empty files"},
    std::pair{"header chunk 'MThd'", "no MIDI header: HTML, text, another format"},
    std::pair{"expected a header of 14", "cut off within the header"},
    std::pair{"a header length of", "a wrong length of the header"},
    std::pair{"found format", "a format above 2"},
    std::pair{"found division 0", "division 0"},
    std::pair{"frames a second", "an SMPTE division of an unknown frame rate"},
    std::pair{"track chunk 'MTrk'", "no track"},
    std::pair{"no note sounds", "nothing sounds"},
    std::pair{"notes are out of range", "all notes out of range"},
    std::pair{"decode: a note sounds at or after", "absurd times: notes beyond the longest piece"},
    std::pair{"decode: notes sound for more", "absurd times: too much sounds at once, too long"},
    std::pair{"bytes, expected at most", "too large"},
    std::pair{"links are not followed", "links in an archive"},
    std::pair{"a device or pipe", "devices and pipes in an archive"},
    std::pair{"encrypted", "encrypted"},
    std::pair{"the archive is damaged within it", "the archive is damaged there"},
    std::pair{"its name is not", "names in no known encoding"},
    std::pair{"cannot be read", "cannot be read from the disk"},
};

}  // namespace

std::string fault_kind(std::string_view reason) {
  for (const auto& [part, kind] : kinds)
    if (reason.find(part) != reason.npos) return kind;
  // "midi: byte 123: what is wrong": where it is wrong differs from file to file.
  constexpr std::string_view prefix = "midi: byte ";
  if (reason.starts_with(prefix)) {
    const size_t end = reason.find(": ", prefix.size());
    if (end != reason.npos) return std::string(reason.substr(end + 2));
  }
  return std::string(reason);
}

}  // namespace poph
