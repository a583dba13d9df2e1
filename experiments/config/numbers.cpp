#include "experiments/config/numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "data/files/text.h"
#include "experiments/config/keys.h"
#include "experiments/config/settings.h"

namespace poph {
namespace {

constexpr size_t max_shown = 40;

std::string shown(std::string_view word) { return fmt::format("\"{}\"", printable(word, max_shown)); }

// Without a plus sign, which from_chars does not know.
std::string_view unsigned_part(std::string_view word) {
  if (word.size() > 1 && word[0] == '+' && word[1] != '-') word.remove_prefix(1);
  return word;
}

// Visits the keys, and judges the word where the key is the one that was asked for.
struct KeyProblem {
  std::string_view key, word;
  std::string found = {};

  void integer(std::string_view name, uint64_t, int64_t min, int64_t max) {
    if (name == key) found = whole_number_problem(word, min, max);
  }
  void real(std::string_view name, double, const RealRange& range) {
    if (name == key) found = number_problem(word, range);
  }
  template <class... Other>
  void text(Other&&...) {}
  template <class... Other>
  void texts(Other&&...) {}
  template <class... Other>
  void channels(Other&&...) {}
  template <class... Other>
  void split(Other&&...) {}
  template <class... Other>
  void flag(Other&&...) {}
  template <class... Other>
  void choice(Other&&...) {}
  template <class... Other>
  void blocks(Other&&...) {}
  template <class... Other>
  void styles(Other&&...) {}
  template <class... Other>
  void shares(Other&&...) {}
};

}  // namespace

std::string problem_of(int64_t given, int64_t min, int64_t max) {
  if (given < min) return fmt::format("must be at least {}, is {}", min, given);
  if (given > max) return fmt::format("must be at most {}, is {}", max, given);
  return "";
}

std::string problem_of(double given, const RealRange& range) {
  const auto outside = [&](const std::string& limit) { return fmt::format("must be {}, is {}", limit, given); };
  if (!std::isfinite(given)) return outside("a finite number");
  if (given < range.at_least) return outside(fmt::format("at least {}", range.at_least));
  if (given <= range.above) return outside(fmt::format("above {}", range.above));
  if (given > range.at_most) return outside(fmt::format("at most {}", range.at_most));
  if (given >= range.below) return outside(fmt::format("below {}", range.below));
  return "";
}

std::string whole_number_problem(std::string_view word, int64_t min, int64_t max) {
  const std::string_view digits = unsigned_part(word);
  int64_t given = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), given);
  if (digits.empty() || error == std::errc::invalid_argument || stop != digits.data() + digits.size())
    return "expected a whole number, found " + shown(word);
  if (error == std::errc::result_out_of_range)
    return word[0] == '-' ? fmt::format("must be at least {}, is {}", min, printable(word, max_shown))
                          : fmt::format("must be at most {}, is {}", max, printable(word, max_shown));
  return problem_of(given, min, max);
}

int64_t whole_number(std::string_view word) {
  const std::string_view digits = unsigned_part(word);
  int64_t given = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), given);
  return given;
}

double number(std::string_view word) {  // in the C locale: no program sets another
  return std::strtod(std::string(word).c_str(), nullptr);
}

std::string number_problem(std::string_view word, const RealRange& range) {
  const std::string text(word);
  char* end = nullptr;
  const double given = std::strtod(text.c_str(), &end);
  const bool hexadecimal = text.find_first_of("xX") != text.npos,
             blank = text.find_first_of(" \t\n\v\f\r") != text.npos;
  if (text.empty() || end != text.c_str() + text.size() || hexadecimal || blank)
    return "expected a number, found " + shown(word);
  return problem_of(given, range);
}

std::string key_problem(std::string_view key, std::string_view word) {
  KeyProblem problem{key, word};
  Config config;
  each_key(config, problem);
  return problem.found;
}

}  // namespace poph
