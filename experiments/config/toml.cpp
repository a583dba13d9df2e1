#include "experiments/config/toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "data/files/file.h"
#include "data/files/text.h"
#include "experiments/config/toml_guard.h"
#include "tensor/error.h"

// toml++ up to 3.4 asserts what a mistyped header breaks ("[" alone on a line aborts) before it reports that very
// mistake as an error. So its assertions are off, which takes the header-only form whatever the package's flags say.
// 3.3 has no toml.hpp.
#undef NDEBUG
#undef TOML_SHARED_LIB
#undef TOML_HEADER_ONLY
#define TOML_HEADER_ONLY 1
#define TOML_ASSERT(condition) static_assert(true)
#if __has_include(<toml++/toml.hpp>)
#include <toml++/toml.hpp>
#else
#include <toml++/toml.h>
#endif

namespace poph {

namespace {

constexpr uint64_t max_experiment_bytes = 1 << 20;

bool is_ascii(char c) { return (c & 0x80) == 0; }

std::string bare_or_quoted(std::string_view key) {
  const auto is_bare = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; };
  return !key.empty() && std::all_of(key.begin(), key.end(), is_bare) ? std::string(key) : toml_quoted(key);
}

Value converted(const toml::node& node, const std::string& origin) {
  Value value;
  value.where = fmt::format("{}:{}", origin, node.source().begin.line);
  if (const auto* table = node.as_table()) {
    value.type = Value::Type::table;
    struct Entry {
      const toml::key* key;
      const toml::node* node;
    };
    std::vector<Entry> entries;
    for (const auto& [key, child] : *table) entries.push_back({&key, &child});
    // toml++ sorts by name; the first mistake to report is the first one in the text.
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      const auto& x = a.key->source().begin;
      const auto& y = b.key->source().begin;
      return std::pair(x.line, x.column) < std::pair(y.line, y.column);
    });
    for (const Entry& entry : entries) {
      value.keys.push_back(bare_or_quoted(entry.key->str()));
      value.items.push_back(converted(*entry.node, origin));
    }
  } else if (const auto* array = node.as_array()) {
    value.type = Value::Type::array;
    for (const auto& child : *array) value.items.push_back(converted(child, origin));
  } else if (const auto* boolean = node.as_boolean()) {
    value.type = Value::Type::boolean;
    value.boolean = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    value.type = Value::Type::integer;
    value.integer = integer->get();
  } else if (const auto* real = node.as_floating_point()) {
    value.type = Value::Type::real;
    value.real = real->get();
  } else if (const auto* text = node.as_string()) {
    value.type = Value::Type::text;
    value.text = text->get();
  } else {
    value.type = Value::Type::date;
  }
  return value;
}

void set_where(Value& value, const std::string& where) {
  value.where = where;
  for (Value& item : value.items) set_where(item, where);
}

// Edits (insert, delete, replace, swap two neighbours) between a and b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before_last[j - 2] + 1);
    }
    std::swap(before_last, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

// Follows the message that a file cannot be read: what may have been meant, or nothing.
std::string hint(int code, const std::string& file) {
  if (code != ENOENT) return "";
  if (file.find('=') != std::string::npos) return ", and an override comes after the experiment file";
  std::error_code ignored;
  const std::string shipped = "experiments/" + file;
  return std::filesystem::exists(shipped, ignored) ? "; did you mean " + shipped + "?" : "";
}

}  // namespace

std::string Value::described() const {
  switch (type) {
    case Type::boolean:
      return boolean ? "the boolean true" : "the boolean false";
    case Type::integer:
      return fmt::format("the integer {}", integer);
    case Type::real:
      return "the number " + real_digits(real);
    case Type::text:
      return fmt::format("the string \"{}\"", printable(text));
    case Type::array:
      return "an array";
    case Type::table:
      return "a table";
    case Type::date:
      return "a date or time";
  }
  return "";
}

Value parse_toml(std::string_view text, const std::string& origin) {
  refuse_what_breaks_the_parser(text, origin);
  try {
    return converted(toml::parse(text, std::string_view(origin)), origin);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    fail(origin, ":", at.line, ":", at.column, ": ", printable(error.description()));
  }
}

Value read_override(std::string_view text, const std::string& where) {
  const auto parsed = [&](const std::string& toml_text) {
    refuse_what_breaks_the_parser(toml_text, where);
    Value table = converted(toml::parse(std::string_view(toml_text), std::string_view()), "");
    require(table.items.size() == 1, where, ": expected one value");
    set_where(table.items[0], where);
    return table.items[0];
  };
  // A value that opens like a TOML string, array or table was meant as one, so its syntax error is reported.
  const bool bare = text.empty() || !std::strchr("\"'[{", text[0]);
  try {
    if (bare && !std::all_of(text.begin(), text.end(), is_ascii)) return parsed("value = " + toml_quoted(text));
    try {
      return parsed(fmt::format("value = {}", text));
    } catch (const toml::parse_error&) {
      if (!bare) throw;
      return parsed("value = " + toml_quoted(text));
    }
  } catch (const toml::parse_error& error) {
    fail(where, ": not valid TOML: ", printable(error.description()));
  }
}

std::string read_experiment_text(const std::string& file) {
  try {
    return read_file(file, max_experiment_bytes);
  } catch (const FileError& error) {
    fail(error.what(), hint(error.code, file));
  }
}

std::string toml_quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (code < 32 || code == 127) {
      result += fmt::format("\\u{:04X}", code);
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string unquoted_key(const std::string& key) {
  return key.size() >= 2 && key.starts_with('"') && key.find('\\') == std::string::npos ? key.substr(1, key.size() - 2)
                                                                                        : key;
}

std::string toml_text(const Value& value) {
  std::vector<std::string> items;
  for (size_t i = 0; i < value.items.size(); ++i)
    items.push_back((value.is(Value::Type::table) ? value.keys[i] + " = " : "") + toml_text(value.items[i]));
  switch (value.type) {
    case Value::Type::boolean:
      return value.boolean ? "true" : "false";
    case Value::Type::integer:
      return fmt::format("{}", value.integer);
    case Value::Type::real:
      return real_digits(value.real);
    case Value::Type::text:
      return toml_quoted(value.text);
    case Value::Type::array:
      return fmt::format("[{}]", fmt::join(items, ", "));
    case Value::Type::table:
      return items.empty() ? "{}" : fmt::format("{{ {} }}", fmt::join(items, ", "));
    case Value::Type::date:
      break;
  }
  fail(value.where, ": a date or time cannot be written");
}

std::string real_digits(double x) {
  const std::string digits = fmt::format("{}", x);
  return std::isfinite(x) && digits.find_first_of(".e") == std::string::npos ? digits + ".0" : digits;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  word = word.substr(0, 100);
  const auto last_part = [](std::string_view key) { return key.substr(key.rfind('.') + 1); };  // npos + 1 is 0
  std::string best;
  size_t fewest = SIZE_MAX;
  for (const std::string& candidate : candidates) {
    const size_t elsewhere = 2 + edit_distance(last_part(word), last_part(candidate));
    const size_t edits = std::min(edit_distance(word, candidate), elsewhere);
    if (edits < fewest) best = candidate;
    fewest = std::min(edits, fewest);
  }
  return best;
}

}  // namespace poph
