#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// TOML text as a tree of plain values that remember the line that set them. toml++ takes seconds to compile, so only
// toml.cpp includes it.
namespace poph {

struct Value {
  enum class Type { boolean, integer, real, text, array, table, date };
  Type type = Type::table;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::string written;            // of a path that was made absolute: as it stood there, if it was relative
  std::vector<Value> items;       // of an array, or the values of a table
  std::vector<std::string> keys;  // of a table: the names of items, in the order of the text
  std::string where;              // "experiments/x.toml:12", or "command line: train.epochs=5"

  bool is(Type wanted) const { return type == wanted; }
  std::string described() const;  // for messages: the string "ten", the integer 10, a table, ..
};

// The whole text as a table. Throws "origin:line:column: what is wrong" where it is not TOML.
Value parse_toml(std::string_view text, const std::string& origin);

// A value of the command line: TOML, and a bare word that is not TOML (my/folder) is a string.
Value read_override(std::string_view text, const std::string& where);

// The text of a file of at most 1 MB: no experiment is longer. Error: "cannot read FILE: No such file or directory; did
// you mean ..".
std::string read_experiment_text(const std::string& file);

std::string toml_quoted(std::string_view text);    // as a TOML string, on one line
std::string unquoted_key(const std::string& key);  // of Value::keys: "a.b" in quotes as it is meant
std::string toml_text(const Value& value);         // on one line; read back it is the same value
// as a TOML number with a point or an exponent, the shortest that reads back as x
std::string real_digits(double x);

// The candidate with the fewest typing errors (Damerau-Levenshtein); a key in the wrong section (train.window) matches
// the right one.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace poph
