#include "experiments/config_values.h"

#include <filesystem>
#include <utility>

#include "experiments/config_keys.h"

namespace poph {

namespace {

namespace fs = std::filesystem;
using Type = Value::Type;

const std::vector<std::string>& all_keys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> names;
    for (const KeyLine& line : key_lines(Config{})) names.push_back(line.key);
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

void add(Values& values, const std::string& key, const Value& value) {
  if (contains(all_keys(), key)) {
    values.insert_or_assign(key, value);
  } else if (contains(all_sections(), key)) {
    expect(Type::table, "a table", value, key);
    for (size_t i = 0; i < value.items.size(); ++i) add(values, key + "." + value.keys[i], value.items[i]);
  } else if (key == "sweep" || key.starts_with("sweep.")) {
    fail(value.where, ": sweeps are not supported yet");
  } else {
    std::vector<std::string> valid = all_keys();
    valid.push_back("extends");
    if (value.is(Type::table)) valid.insert(valid.end(), all_sections().begin(), all_sections().end());
    reject_unknown(value, "", key, valid);
  }
}

std::string absolute_path(const std::string& path, const fs::path& folder) {
  if (path.empty() || path == bundled_source) return path;
  const fs::path whole = fs::absolute(folder / path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).string();  // music/ and music are one folder
}

// Paths mean what they meant in the file that set them, so this comes before files are merged.
void make_paths_absolute(Values& values, const fs::path& folder) {
  for (const char* key : {"data.source", "generate.prime"}) {
    const auto found = values.find(key);
    if (found == values.end()) continue;
    Value& value = found->second;
    value.text = absolute_path(value.text, folder);
    for (Value& item : value.items) item.text = absolute_path(item.text, folder);
  }
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

}  // namespace

Values values_of_files(const std::string& file) {
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
      reject(extends, "extends", error.what());
    }
    std::error_code ignored;
    const fs::path canonical = fs::weakly_canonical(next, ignored);
    const auto same = [&](const Visited& visited) { return visited.canonical == canonical; };
    if (std::any_of(chain.begin(), chain.end(), same)) {
      std::string shown;
      for (const Visited& visited : chain) shown += visited.shown + " -> ";
      reject(extends, "extends", "a cycle: ", shown, next);
    }
    chain.push_back({next, canonical});

    extends = Value{};
    Values values = file_values(read_toml(text, next), &extends);
    const fs::path folder = fs::path(next).parent_path();
    make_paths_absolute(values, folder);
    merged.merge(values);  // keeps what is there already
    if (extends.is(Type::text) && extends.text.empty()) reject(extends, "extends", "names no file");
    next = extends.is(Type::text) ? (folder / extends.text).lexically_normal().string() : "";
  }
  return merged;
}

void add_overrides(Values& values, const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    const auto trimmed = [](std::string_view part) {
      const size_t first = part.find_first_not_of(" \t"), last = part.find_last_not_of(" \t");
      return first == std::string_view::npos ? std::string() : std::string(part.substr(first, last - first + 1));
    };
    const size_t equals = text.find('=');
    require(equals != std::string::npos, command_line, ": ", printable(text), ": expected KEY=VALUE, as in train.epochs=5");
    const std::string key = trimmed(std::string_view(text).substr(0, equals));
    const std::string given = trimmed(std::string_view(text).substr(equals + 1));
    const std::string where = joined(command_line, ": ", printable(key), "=", printable(given));
    Values layer;
    const Value value = read_override(given, where);
    if (key == "extends") fail(where, ": only a file can extend another");
    add(layer, key, value);
    make_paths_absolute(layer, "");
    layer.merge(values);
    values.swap(layer);
  }
}

Values values_of_text(std::string_view text, const std::string& origin) { return file_values(read_toml(text, origin), nullptr); }

}  // namespace poph
