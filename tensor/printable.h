#pragma once
#include <string>
#include <string_view>

namespace poph {

// What a file or a user says, fit for a message: on one line, control characters as escapes, cut off where it is longer.
inline std::string printable(std::string_view text, size_t longest = 120) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto code = static_cast<unsigned char>(text[i]);
    const bool starts_character = (code & 0xC0) != 0x80;  // not in the middle of a UTF-8 sequence
    if (i >= longest && (starts_character || i >= longest + 4)) return result + "..";
    if (text[i] == '\n') {
      result += "\\n";
    } else if (code < 32 || code == 127) {
      result += "\\x";
      for (int digit : {code >> 4, code & 15}) result += "0123456789abcdef"[digit];
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace poph
