#include "experiments/config/number_list.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "data/files/text.h"

namespace poph {
namespace {

// Nothing: there is no list here.
std::optional<std::vector<NumberRange>> read_list(const std::string& text) {
  std::vector<NumberRange> found;
  const char *at = text.data(), *const end = at + text.size();
  const auto number = [&](int64_t& x) {
    if (at == end || *at < '0' || *at > '9') return false;
    const auto [rest, error] = std::from_chars(at, end, x);
    at = rest;
    return error == std::errc();
  };
  while (true) {
    NumberRange range;
    if (!number(range.first)) return std::nullopt;
    range.last = range.first;
    if (at != end && *at == '-') {
      ++at;
      if (!number(range.last) || range.last < range.first) return std::nullopt;
    }
    found.push_back(range);
    if (at == end) return found;
    if (*at++ != ',') return std::nullopt;
  }
}

}  // namespace

std::string number_list_problem(const std::string& text, const char* of) {
  if (read_list(text)) return "";
  return fmt::format("found \"{}\", expected numbers of {}", printable(text, 40), of);
}

std::vector<NumberRange> parse_number_list(const std::string& text) { return read_list(text).value(); }

}  // namespace poph
