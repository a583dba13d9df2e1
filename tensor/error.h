#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

// How the library reports mistakes: one exception type whose text is one line.
namespace poph {

// A mistake of the user or the caller, in one line. Programs print it after their own name and exit 1.
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

struct OutOfMemory : Error {  // of a device, or of the matrix library; that of the heap is std::bad_alloc
  using Error::Error;
};

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(joined(parts...));
}

// require(a == b, "add: shapes differ, ", a, " and ", b). The message names the op first and shows both values.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

}  // namespace poph
