#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/files/text.h"
#include "experiments/config/toml.h"
#include "tensor/error.h"

// From files and command line to one value for each key that was set: this is what `extends` and overrides mean, and
// which keys exist. config.cpp checks whether a value fits its key.
namespace poph {

using Values = std::map<std::string, Value>;  // by full key: data.window

inline constexpr std::string_view command_line = "command line";

// The keys that an experiment can set (data.window), and the tables they lie in (data).
const std::vector<std::string>& all_keys();
const std::vector<std::string>& all_sections();

// The values of a file and of all the files it extends, the nearer one winning; paths are absolute. With `extended`,
// the path of another file, that one takes the place of what the file itself extends.
Values read_values(const std::string& file, const Value* extended = nullptr);

// The values that the file itself sets, and the absolute path of what it extends, if anything.
struct FileValues {
  Values values;
  Value extends;
};
FileValues read_own_values(const std::string& file);

// The values of a text that stands alone: `extends` is refused, paths stay as they are.
Values parse_values(std::string_view text, const std::string& origin);

// A path that was written as a relative one, as a file in `folder` says it; without a folder, and any other path, as it
// is.
std::string path_in(const std::string& folder, const std::string& path, const std::string& written);

// Overrides KEY=VALUE, the last of a key winning; paths are made absolute from the working folder.
struct Override {
  std::string key;
  Value value;
};
Override read_key_and_value(const std::string& text);
void add_overrides(Values& values, const std::vector<std::string>& overrides);

// "model.blocks[1].mask" is a key of one block, counted from 0; [-1] is the last one. It changes the list that is
// there.
bool is_block_key(std::string_view key);
void set_block_key(Values& values, const std::string& key, const Value& value);

// True if any sweep.* is set. experiments/sweep/sweep.cpp reads these.
bool is_sweep(const Values& values);

inline bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "file:12: key: ..", or "command line: key=value: .." where the key stands there already.
template <class... Parts>
[[noreturn]] void reject(const Value& value, const std::string& key, const Parts&... parts) {
  if (value.where.starts_with(joined(command_line, ": ", key, "="))) fail(value.where, ": ", parts...);
  fail(value.where, ": ", key, ": ", parts...);
}

[[noreturn]] inline void reject_unknown(const Value& value, const std::string& prefix, const std::string& key,
                                        const std::vector<std::string>& valid) {
  if (key.starts_with("model.blocks"))
    fail(value.where, ": ", prefix, "unknown key \"", printable(key),
         "\": model.blocks is set as a whole, as a list of tables");
  if (key.starts_with("model.styles"))
    fail(value.where, ": ", prefix, "unknown key \"", printable(key),
         "\": model.styles is set as a whole, as a list of tables");
  fail(value.where, ": ", prefix, "unknown key \"", printable(key), "\": did you mean \"", nearest(key, valid), "\"?");
}

inline const Value& expect(Value::Type type, const char* wanted, const Value& value, const std::string& key) {
  if (!value.is(type)) reject(value, key, "expected ", wanted, ", found ", value.described());
  return value;
}

}  // namespace poph
