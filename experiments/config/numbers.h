#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "nn/limits.h"

// Numbers and their limits, for experiment files and command lines alike. A problem is the end of a message, "must be
// at least 1, is 0"; empty where there is none.
namespace poph {

std::string problem_of(int64_t given, int64_t min, int64_t max);
std::string problem_of(double given, const RealRange& range);

// The number that a word of the command line is: decimal digits, no other bases and no rounding.
std::string whole_number_problem(std::string_view word, int64_t min, int64_t max);
std::string number_problem(std::string_view word, const RealRange& range);
int64_t whole_number(std::string_view word);  // both of a word without a problem
double number(std::string_view word);

// The same for the value of one key of an experiment, by the key's own limits (experiments/config/keys.h); a key whose
// value is no number takes any word.
std::string key_problem(std::string_view key, std::string_view word);

}  // namespace poph
