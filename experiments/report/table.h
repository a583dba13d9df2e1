#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "experiments/report/statistics.h"

// A table of measured numbers in three forms: HTML, CSV and plain text.
namespace poph {

// A number, or a mean over n values with its interval.
struct Quantity {
  double value = not_known, low = not_known, high = not_known;
  int64_t n = 0;
};

struct Field {
  std::string text;  // shown instead of the quantity where it is not empty
  Quantity quantity;
  std::string note;  // in smaller letters after it

  Field() = default;
  Field(const std::string& shown, const std::string& smaller = "") : text(shown), note(smaller) {}
  Field(const char* shown) : text(shown) {}
  Field(double value) : quantity{value, not_known, not_known, 1} {}
  Field(const Quantity& measured, const std::string& smaller = "") : quantity(measured), note(smaller) {}
  bool empty() const { return text.empty() && note.empty() && std::isnan(quantity.value); }
};

struct Column {
  std::string key, heading, explanation;  // key: the CSV's name for it
  enum class Kind { text, number, mean } kind = Kind::number;
  int digits = 4;       // after the point
  bool sign = false;    // "+0.01"
  bool judged = false;  // better or worse by it: rows without a rank stay at the end when the table is sorted by it
  bool count = false;   // ", n 6" after a mean of several
};

struct Row {
  std::vector<Field> fields;
  bool ranked = true;
  int series = -1;  // the colour of its curves
};

struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<Row> rows;
};

// "0.1234 ± 0.0012", "0.72 (0.65 to 0.80)" where the interval is not symmetric, "" for a number that is not known.
std::string quantity_text(const Quantity& quantity, const Column& column);

// These two leave out empty columns. Text that is too wide is transposed, a line for each column, where that is
// narrower.
std::string html_table(const Table& table);
std::string text_table(const Table& table);

// RFC 4180, all digits; a mean takes four columns: KEY, KEY_low, KEY_high, KEY_n. Empty columns are there too, so that
// files can be joined.
std::string csv_table(const Table& table);

}  // namespace poph
