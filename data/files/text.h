#pragma once
#include <string>
#include <string_view>

// Text that comes from files and users, made fit to be shown.
namespace poph {

// For a message: on one line, control characters as escapes, cut off where it is longer.
inline std::string printable(std::string_view text, size_t max_length = 120) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto code = static_cast<unsigned char>(text[i]);
    const bool starts_character = (code & 0xC0) != 0x80;  // not in the middle of a UTF-8 sequence
    if (i >= max_length && (starts_character || i >= max_length + 4)) return result + "..";
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

// For the content of an HTML or SVG element, or of its attributes.
inline std::string escaped_html(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '&':
        result += "&amp;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace poph
