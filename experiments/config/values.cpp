#include "experiments/config/values.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <utility>

#include "data/files/file.h"
#include "experiments/config/keys.h"
#include "experiments/config/settings.h"

namespace poph {

namespace {

namespace fs = std::filesystem;
using Type = Value::Type;

constexpr size_t max_chain = 100;  // of files that extend each other
constexpr size_t max_message = 1000;

// Read by sweep.cpp; sweep.axes is taken as a whole.
constexpr const char* sweep_keys[] = {"sweep.mode",  "sweep.runs",     "sweep.seed",
                                      "sweep.seeds", "sweep.baseline", "sweep.axes"};

void add(Values& values, const std::string& key, const Value& value) {
  if (contains(all_keys(), key)) {
    values.insert_or_assign(key, value);
  } else if (contains(all_sections(), key)) {
    expect(Type::table, "a table", value, key);
    for (size_t i = 0; i < value.items.size(); ++i) add(values, key + "." + value.keys[i], value.items[i]);
  } else {
    std::vector<std::string> valid = all_keys();
    valid.push_back("extends");
    if (value.is(Type::table)) valid.insert(valid.end(), all_sections().begin(), all_sections().end());
    reject_unknown(value, "", key, valid);
  }
}

std::string plain_path(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).string();  // music/ and music are one folder
}

std::string absolute_path(const std::string& path, const fs::path& folder) {
  return path.empty() || path == bundled_source ? path : plain_path(fs::absolute(folder / with_home(path)));
}

void make_absolute(Value& value, const fs::path& folder) {
  value.text = with_home(value.text);
  std::string absolute = absolute_path(value.text, folder);
  if (value.written.empty() && absolute != value.text && fs::path(value.text).is_relative())
    value.written = plain_path(value.text);
  value.text = std::move(absolute);
  for (Value& item : value.items) make_absolute(item, folder);
}

bool is_path_key(std::string_view key) {
  return key == "data.source" || key == "train.start_from" ||
         std::any_of(generate_files.begin(), generate_files.end(), [&](const auto& file) { return key == file.key; });
}

// The sources in a list of styles, or in lists of such lists.
void make_styles_absolute(Value& value, const fs::path& folder) {
  for (size_t i = 0; i < value.items.size(); ++i) {
    if (value.is(Type::array)) make_styles_absolute(value.items[i], folder);
    if (value.is(Type::table) && value.keys[i] == "source") make_absolute(value.items[i], folder);
  }
}

// The paths in tables of sweep.axes, whose keys may be dotted, nested or quoted. A file to extend stays relative where
// it was, because messages show it.
void make_axes_absolute(Value& value, const std::string& key, const fs::path& folder) {
  if (is_path_key(key)) return make_absolute(value, folder);
  if (key == "model.styles") return make_styles_absolute(value, folder);
  for (size_t i = 0; i < value.items.size(); ++i) {
    Value& item = value.items[i];
    if (value.is(Type::table))
      make_axes_absolute(item, (key.empty() ? "" : key + ".") + unquoted_key(value.keys[i]), folder);
    else if (value.is(Type::array) && (key.empty() || key == "extends"))
      make_axes_absolute(item, key, folder);
  }
  if (key == "extends" && value.is(Type::text) && !value.text.empty()) {
    const std::string path = with_home(value.text);
    if (fs::path(path).is_relative()) value.written = plain_path(path);
    value.text = (folder / path).lexically_normal().string();
  }
}

// Paths mean what they meant in the file that set them, so this comes before files are merged.
void make_paths_absolute(Values& values, const fs::path& folder) {
  for (auto& [key, value] : values) {
    if (is_path_key(key)) make_absolute(value, folder);
    if (key == "model.styles") make_styles_absolute(value, folder);
    if (key == "sweep.axes") make_axes_absolute(value, "", folder);
  }
}

constexpr std::string_view axis_prefix = "sweep.axes.";

// Takes an axis out of a table of axes, whose keys may be dotted, nested or quoted.
void remove_axis(Value& table, std::string_view axis) {
  for (size_t i = 0; i < table.items.size(); ++i) {
    const std::string key = unquoted_key(table.keys[i]);
    if (key == axis) {
      table.keys.erase(table.keys.begin() + static_cast<std::ptrdiff_t>(i));
      table.items.erase(table.items.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    if (table.items[i].is(Type::table) && axis.starts_with(key + "."))
      remove_axis(table.items[i], axis.substr(key.size() + 1));
  }
}

// An override of one axis: in place of the file's axis of that key, or beside its other ones.
void set_axis(Values& values, const std::string& axis, Value value) {
  make_axes_absolute(value, axis, "");
  Value none;
  none.where = value.where;
  Value& axes = values.try_emplace("sweep.axes", none).first->second;
  if (!axes.is(Type::table))
    reject(value, joined(axis_prefix, axis), "this sweep has several tables of axes (", axes.where,
           "): which one is meant? sweep.axes=[..] sets all of them");
  remove_axis(axes, axis);
  axes.keys.push_back(toml_quoted(axis));
  axes.items.push_back(std::move(value));
}

// The keys of one text; its `extends` goes to *extends, and is refused where that is null.
Values file_values(const Value& table, Value* extends) {
  Values values;
  for (size_t i = 0; i < table.items.size(); ++i) {
    if (table.keys[i] != "extends") {
      add(values, table.keys[i], table.items[i]);
      continue;
    }
    if (!extends) reject(table.items[i], "extends", "not possible here: this text has to stand alone");
    *extends = expect(Type::text, "a string", table.items[i], "extends");
  }
  return values;
}

Values own_values(const std::string& file, const std::string& text, Value* extends) {
  Values values = file_values(parse_toml(text, file), extends);
  if (extends->is(Type::text) && extends->text.empty()) reject(*extends, "extends", "names no file");
  make_paths_absolute(values, fs::path(file).parent_path());
  return values;
}

}  // namespace

const std::vector<std::string>& all_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> names;
    for (const KeyLine& line : key_lines(Config{})) names.push_back(line.key);
    names.insert(names.end(), std::begin(sweep_keys), std::end(sweep_keys));
    return names;
  }();
  return keys;
}

const std::vector<std::string>& all_sections() {
  static const std::vector<std::string> sections = [] {
    std::vector<std::string> names;
    for (const std::string& key : all_keys())
      for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1))
        if (!contains(names, key.substr(0, dot))) names.push_back(key.substr(0, dot));
    return names;
  }();
  return sections;
}

Values read_values(const std::string& file, const Value* extended) {
  struct Visited {
    std::string shown;
    fs::path canonical;
  };
  std::vector<Visited> chain;
  Values merged;
  Value extends;
  for (std::string next = file; !next.empty();) {
    std::string text;
    try {
      text = read_experiment_text(next);
    } catch (const Error& error) {
      if (chain.empty()) throw;
      reject(extends, "extends", printable(error.what(), max_message));
    }
    std::error_code ignored;
    const fs::path canonical = fs::weakly_canonical(next, ignored);
    const auto same = [&](const Visited& visited) { return visited.canonical == canonical; };
    if (std::any_of(chain.begin(), chain.end(), same)) {
      std::string shown;
      for (const Visited& visited : chain) shown += visited.shown + " -> ";
      reject(extends, "extends", "a cycle: ", printable(shown + next, max_message));
    }
    if (chain.size() == max_chain) reject(extends, "extends", "a chain of more than ", max_chain, " files");
    chain.push_back({next, canonical});

    extends = Value{};
    Values values = own_values(next, text, &extends);
    if (chain.size() > 1 && is_sweep(values)) {
      const auto first = values.lower_bound("sweep.");
      reject(first->second, first->first, "a file that another one extends cannot be a sweep");
    }
    merged.merge(values);  // a nearer file has set its keys already
    const bool replaced = extended && chain.size() == 1;
    const fs::path folder = fs::path(next).parent_path();
    next = extends.is(Type::text) ? (folder / with_home(extends.text)).lexically_normal().string() : "";
    if (replaced) next = (extends = *extended).text;
  }
  return merged;
}

FileValues read_own_values(const std::string& file) {
  Value extends;
  FileValues own{own_values(file, read_experiment_text(file), &extends), {}};
  if (extends.is(Type::text)) {
    make_absolute(extends, fs::path(file).parent_path());
    own.extends = std::move(extends);
  }
  return own;
}

std::string path_in(const std::string& folder, const std::string& path, const std::string& written) {
  if (folder.empty() || written.empty()) return path;
  const std::string relative = fs::path(path).lexically_relative(plain_path(fs::absolute(folder))).string();
  return relative == bundled_source ? "./" + relative : relative;
}

Override read_key_and_value(const std::string& text) {
  const auto trimmed = [](std::string_view part) {
    const size_t first = part.find_first_not_of(" \t"), last = part.find_last_not_of(" \t");
    return first == std::string_view::npos ? std::string() : std::string(part.substr(first, last - first + 1));
  };
  const size_t equals = text.find('=');
  require(equals != std::string::npos, command_line, ": ", printable(text),
          ": expected KEY=VALUE, as in train.epochs=5");
  const std::string key = trimmed(std::string_view(text).substr(0, equals));
  const std::string given = trimmed(std::string_view(text).substr(equals + 1));
  return {key, read_override(given, joined(command_line, ": ", printable(key), "=", printable(given)))};
}

void add_overrides(Values& values, const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    const auto [key, value] = read_key_and_value(text);
    if (key == "extends") fail(value.where, ": only a file can extend another");
    if (is_block_key(key)) {
      set_block_key(values, key, value);
      continue;
    }
    if (key.starts_with(axis_prefix)) {
      set_axis(values, unquoted_key(key.substr(axis_prefix.size())), value);
      continue;
    }
    Values layer;
    add(layer, key, value);
    make_paths_absolute(layer, "");
    layer.merge(values);
    values.swap(layer);
  }
}

bool is_block_key(std::string_view key) { return key.starts_with("model.blocks["); }

void set_block_key(Values& values, const std::string& key, const Value& value) {
  const size_t open = key.find('['), close = key.find("].", open);
  int64_t index = 0;
  const char* end = key.data() + std::min(close, key.size());
  const auto [stop, error] = std::from_chars(key.data() + open + 1, end, index);
  if (close == std::string::npos || error != std::errc() || stop != end || close + 2 == key.size())
    fail(value.where, ": unknown key \"", printable(key),
         "\": a key of one block is model.blocks[0].heads, of the last one model.blocks[-1].heads");
  const auto found = values.find("model.blocks");
  if (found == values.end() || !found->second.is(Type::array)) reject(value, key, "no list of model.blocks is set");
  std::vector<Value>& blocks = found->second.items;
  const auto count = static_cast<int64_t>(blocks.size());
  if (index >= count || index < -count) reject(value, key, "there are ", count, " blocks, counted from 0");
  Value& block = blocks[static_cast<size_t>(index < 0 ? index + count : index)];
  expect(Type::table, "a table", block, key.substr(0, close + 1));
  const std::string name = key.substr(close + 2);
  const auto place = std::find(block.keys.begin(), block.keys.end(), name);
  if (place == block.keys.end()) {
    block.keys.push_back(name);
    block.items.push_back(value);
  } else {
    block.items[static_cast<size_t>(place - block.keys.begin())] = value;
  }
}

bool is_sweep(const Values& values) {
  const auto first = values.lower_bound("sweep.");
  return first != values.end() && first->first.starts_with("sweep.");
}

Values parse_values(std::string_view text, const std::string& origin) {
  return file_values(parse_toml(text, origin), nullptr);
}

}  // namespace poph
