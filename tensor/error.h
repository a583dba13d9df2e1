#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace poph {

// What a user or caller did wrong, in one line. Programs print it after their own name and exit 1.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Parts>
std::string joined(const Parts&... parts) {
  std::ostringstream text;
  text.exceptions(std::ios::badbit);  // lack of memory must not leave half of a message
  (text << ... << parts);
  return text.str();
}

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(joined(parts...));
}

// require(a == b, "add: shapes differ, ", a, " and ", b): the op first, both values shown.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]] fail(parts...);
}

}  // namespace poph
