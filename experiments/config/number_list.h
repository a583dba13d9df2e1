#pragma once
#include <cstdint>
#include <string>
#include <vector>

// Lists of numbers, of pieces or bars: "0,3,4-9".
namespace poph {

struct NumberRange {
  int64_t first = 0, last = 0;
};

// What is wrong with such a list; empty: nothing.
std::string number_list_problem(const std::string& text, const char* of);  // of: "bars such as 1-8"
std::vector<NumberRange> parse_number_list(const std::string& text);       // of a list without a problem

}  // namespace poph
