#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

// Tables of measured numbers, and their three forms: HTML, CSV and plain text.
namespace poph {

constexpr double absent = std::numeric_limits<double>::quiet_NaN();

// A number, or a mean over n values with its interval.
struct Quantity {
  double value = absent, low = absent, high = absent;
  int64_t n = 0;
};

struct Field {
  std::string text;  // shown instead of the quantity where it is not empty
  Quantity quantity;
  std::string note;  // smaller, behind it

  Field() = default;
  Field(const std::string& shown, const std::string& smaller = "") : text(shown), note(smaller) {}
  Field(const char* shown) : text(shown) {}
  Field(double value) : quantity{value, absent, absent, 1} {}
  Field(const Quantity& measured, const std::string& smaller = "") : quantity(measured), note(smaller) {}
  bool empty() const { return text.empty() && note.empty() && !(quantity.value == quantity.value); }
};

struct Column {
  std::string key, heading, explanation;  // key: the CSV's name for it
  enum class Kind { text, number, mean } kind = Kind::number;
  int digits = 4;       // behind the point
  bool sign = false;    // "+0.01"
  bool judged = false;  // better or worse by it: rows without a rank stay at the end when the table is sorted by it
  bool count = false;   // ", n 6" behind a mean of several
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

std::string escaped_html(std::string_view text);  // & < > and both quotes

// "0.1234 ± 0.0012", "0.72 (0.65 to 0.80)" where the interval is not symmetric, "" for what is absent.
std::string quantity_text(const Quantity& quantity, const Column& column);

// Columns in which nothing stands are left out of these two.
std::string html_table(const Table& table);
std::string text_table(const Table& table);  // turned round, a line a column, where it is too wide and that is narrower

// RFC 4180, all digits; a mean takes four columns: KEY, KEY_low, KEY_high, KEY_n. Every column is there, so that files can be
// joined.
std::string csv_table(const Table& table);

}  // namespace poph
