#pragma once
#include <nlohmann/json.hpp>
#include <string>

// JSON as text for files and for standard output.
namespace poph {

// Without `indent` on one line. Bytes that are not UTF-8 become U+FFFD: paths and command lines may hold any bytes, and
// must not make a run fail.
template <class Json>
std::string json_text(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace poph
