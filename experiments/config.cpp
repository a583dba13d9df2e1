#include "experiments/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>

#include "experiments/config_keys.h"
#include "experiments/config_values.h"

namespace poph {

namespace {

namespace fs = std::filesystem;
using Type = Value::Type;

// Fills the struct from the values, each checked alone.
class Reader {
 public:
  Reader(const Values& values, std::map<std::string, std::string>& set_by, std::string prefix = "")
      : values_(values), set_by_(set_by), prefix_(std::move(prefix)) {}

  void text(const char* key, std::string& x) {
    if (const Value* value = find(key)) x = expect(Type::text, "a string", *value, prefix_ + key).text;
  }

  template <class Integer>
  void integer(const char* key, Integer& x, int64_t least, int64_t most) {
    const Value* value = find(key);
    if (!value) return;
    const int64_t given = expect(Type::integer, "an integer", *value, prefix_ + key).integer;
    if (given < least) reject(*value, prefix_ + key, "must be at least ", least, ", is ", given);
    if (given > most) reject(*value, prefix_ + key, "must be at most ", most, ", is ", given);
    x = static_cast<Integer>(given);
  }

  void real(const char* key, double& x, const Range& range) {
    const Value* value = find(key);
    if (!value) return;
    if (!value->is(Type::integer)) expect(Type::real, "a number", *value, prefix_ + key);
    const double given = value->is(Type::integer) ? static_cast<double>(value->integer) : value->real;
    const auto refuse = [&](const std::string& limit) {
      reject(*value, prefix_ + key, fmt::format("must be {}, is {}", limit, given));
    };
    if (!std::isfinite(given)) refuse("a finite number");
    if (given < range.at_least) refuse(fmt::format("at least {}", range.at_least));
    if (given <= range.above) refuse(fmt::format("above {}", range.above));
    if (given > range.at_most) refuse(fmt::format("at most {}", range.at_most));
    if (given >= range.below) refuse(fmt::format("below {}", range.below));
    x = given;
  }

  void flag(const char* key, bool& x) {
    if (const Value* value = find(key)) x = expect(Type::boolean, "true or false", *value, prefix_ + key).boolean;
  }

  template <class T>
  void choice(const char* key, T& x, const Choices<T>& choices) {
    const Value* value = find(key);
    if (!value) return;
    const std::string& word = expect(Type::text, "a string", *value, prefix_ + key).text;
    std::vector<std::string> words, shown;
    for (const auto& [name, meaning] : choices) {
      if (name == word) {
        x = meaning;
        return;
      }
      words.emplace_back(name);
      shown.push_back(quoted(name));
    }
    reject(
        *value, prefix_ + key,
        fmt::format("\"{}\" is none of {}: did you mean \"{}\"?", printable(word), fmt::join(shown, ", "), nearest(word, words)));
  }

  void texts(const char* key, std::vector<std::string>& x) {
    const Value* value = find(key);
    if (!value) return;
    const std::vector<Value> one = {*value};
    x.clear();
    for (const Value& item : value->is(Type::array) ? value->items : one) {
      x.push_back(expect(Type::text, "a string or a list of strings", item, prefix_ + key).text);
      if (x.back().empty()) reject(item, prefix_ + key, "an empty string is no path");
    }
    if (x.empty()) reject(*value, prefix_ + key, "must name at least one file or folder");
  }

  void channels(const char* key, int64_t& x) {
    const Value* value = find(key);
    if (!value) return;
    std::vector<std::string> names;
    for (const Value& item : expect(Type::array, "a list of strings", *value, prefix_ + key).items)
      names.push_back(expect(Type::text, "a string", item, prefix_ + key).text);
    if (names == std::vector<std::string>{"play"})
      x = 1;
    else if (names == std::vector<std::string>{"play", "replay", "volume"})
      x = 3;
    else
      reject(*value, prefix_ + key, R"(must be ["play", "replay", "volume"] or ["play"])");
  }

  void split(const char* key, double& x, Split& rule) {
    const Value* value = find(key);
    if (!value) return;
    for (const auto& [word, meaning] : split_words)
      if (value->is(Type::text) && value->text == word) return void(rule = meaning);
    if (!value->is(Type::integer)) expect(Type::real, "a number, \"none\" or \"first_hex_digit\"", *value, prefix_ + key);
    rule = Split::share;
    real(key, x, Range{.at_least = 0, .below = 1});
  }

  void blocks(const char* key, std::vector<BlockSettings>& x) {
    const Value* value = find(key);
    if (!value) return;
    const std::vector<Value>& items = expect(Type::array, "a list of blocks", *value, prefix_ + key).items;
    if (items.empty()) reject(*value, prefix_ + key, "must list at least one block");
    if (items.size() > 1000) reject(*value, prefix_ + key, "lists ", items.size(), " blocks, more than 1000");
    x.clear();
    for (size_t b = 0; b < items.size(); ++b) x.push_back(block(items[b], fmt::format("{}{}[{}]", prefix_, key, b)));
  }

  void styles(const char* key) {
    const Value* value = find(key);
    if (value && !expect(Type::array, "a list", *value, prefix_ + key).items.empty())
      reject(*value, prefix_ + key, "styles are not supported yet");
  }

 private:
  const Value* find(const char* key) {
    const auto found = values_.find(key);
    if (found == values_.end()) return nullptr;
    const std::string& where = found->second.where;
    set_by_[prefix_ + key] = where.starts_with(command_line) ? command_line : where;
    return &found->second;
  }

  BlockSettings block(const Value& table, const std::string& name) {
    expect(Type::table, "a table such as { kind = \"lstm_time\" }", table, name);
    Values values;
    for (size_t i = 0; i < table.items.size(); ++i) values.emplace(table.keys[i], table.items[i]);
    if (!values.count("kind")) reject(table, name, "has no kind");
    Reader reader(values, set_by_, name + ".");

    BlockSettings result;
    reader.choice("kind", result.kind, block_kinds);
    if (result.kind == BlockKind::lstm_notes) result.units = 128;
    BlockSettings other;  // to tell a key of the other family from a misspelt one
    other.kind = result.is_attention() ? BlockKind::lstm_time : BlockKind::attention_notes;
    const auto names = [](const BlockSettings& block) {
      std::vector<std::string> keys;
      for (const KeyLine& line : block_key_lines(block)) keys.push_back(line.key);
      return keys;
    };
    const std::vector<std::string> valid = names(result), others = names(other);
    for (size_t i = 0; i < table.items.size(); ++i) {
      if (contains(valid, table.keys[i])) continue;
      if (contains(others, table.keys[i]))
        reject(table.items[i], name, table.keys[i], " is no key of ", values.at("kind").text, ", which has ",
               fmt::format("{}", fmt::join(valid, ", ")));
      reject_unknown(table.items[i], name + ": ", table.keys[i], valid);
    }
    each_block_key(result, reader);
    return result;
  }

  const Values& values_;
  std::map<std::string, std::string>& set_by_;
  std::string prefix_;
};

// Where the first of these keys was set: an override before a file, for it is what changed last.
std::string place_of(const Values& values, std::initializer_list<const char*> keys, const std::string& origin) {
  std::string place;
  for (const char* key : keys) {
    const auto found = values.find(key);
    if (found == values.end()) continue;
    if (found->second.where.starts_with(command_line)) return found->second.where;
    if (place.empty()) place = found->second.where;
  }
  return place.empty() ? origin : place;
}

// Why a run's folder cannot have this name; empty if it can.
std::string name_problem(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.size() > 100) return "is longer than 100 characters";
  if (name[0] == '.' || name[0] == '-' || name[0] == ' ') return "starts with a dot, a dash or a space";
  const auto bad = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 32 || c == 127; };
  return std::any_of(name.begin(), name.end(), bad) ? "has a slash, a backslash or a control character" : "";
}

}  // namespace

Config config_of(const Values& values, const std::string& origin, const std::string& name, const std::string& bundled_corpus) {
  const auto sweep = values.lower_bound("sweep.");
  if (is_sweep(values)) reject(sweep->second, sweep->first, "a sweep is not one experiment");
  Config config;
  config.name = name;
  config.bundled_corpus = bundled_corpus;
  Reader reader(values, config.set_by);
  each_key(config, reader);

  const auto check = [&](bool condition, std::initializer_list<const char*> keys, const std::string& message) {
    if (!condition) fail(place_of(values, keys, origin), ": ", message);
  };
  const std::string problem = name_problem(config.name);
  check(problem.empty(), {"name"}, fmt::format("name: \"{}\" cannot name a folder: it {}", printable(config.name), problem));
  check(!config.model.blocks.empty(), {"model.blocks"}, "model.blocks is not set: it lists what the model is made of");

  const DataConfig& data = config.data;
  check(data.lowest_note + data.notes <= 128, {"data.notes", "data.lowest_note"},
        fmt::format("data.lowest_note = {} and data.notes = {} go beyond the highest MIDI note, 127", data.lowest_note,
                    data.notes));
  check(480 % data.steps_per_quarter == 0, {"data.steps_per_quarter"},
        fmt::format("data.steps_per_quarter = {} does not divide 480, the ticks of a quarter note", data.steps_per_quarter));
  const int64_t span = config.loss.harmony.span;
  check(data.window % span == 0, {"loss.harmony.span", "data.window"},
        fmt::format("loss.harmony.span = {} does not divide data.window = {}", span, data.window));

  config.model.lowest_note = data.lowest_note;
  config.model.notes = data.notes;
  config.model.channels = data.channels;
  return config;
}

std::vector<std::string> Config::source_paths() const {
  std::vector<std::string> paths = data.source;
  std::replace(paths.begin(), paths.end(), std::string(bundled_source), bundled_corpus);
  return paths;
}

Config load_config(const std::string& file, const std::vector<std::string>& overrides, const std::string& bundled_corpus) {
  Values values = values_of_files(file);
  add_overrides(values, overrides);
  return config_of(values, file, fs::path(file).stem().string(), bundled_corpus);
}

Config parse_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides,
                    const std::string& bundled_corpus) {
  Values values = values_of_text(text, origin);
  add_overrides(values, overrides);
  const std::string name = fs::path(origin).stem().string();
  return config_of(values, origin, name_problem(name).empty() ? name : "unnamed", bundled_corpus);
}

}  // namespace poph
