#include "experiments/config/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>

#include "data/measures/scales.h"
#include "experiments/config/keys.h"
#include "experiments/config/number_list.h"
#include "experiments/config/numbers.h"
#include "experiments/config/styles.h"
#include "experiments/config/values.h"

namespace poph {

namespace {

namespace fs = std::filesystem;
using Type = Value::Type;

// Fills the struct from the values, each checked alone.
class Reader {
 public:
  Reader(const Values& values, Config& config, std::string prefix = "")
      : values_(values), config_(config), prefix_(std::move(prefix)) {}

  void text(const char* key, std::string& x) {
    const Value* value = find(key);
    if (!value) return;
    x = expect(Type::text, "a string", *value, prefix_ + key).text;
    if (!value->written.empty()) config_.written[key] = {value->written};
  }

  template <class Integer>
  void integer(const char* key, Integer& x, int64_t min, int64_t max) {
    const Value* value = find(key);
    if (!value) return;
    const int64_t given = expect(Type::integer, "an integer", *value, prefix_ + key).integer;
    if (const std::string problem = problem_of(given, min, max); !problem.empty())
      reject(*value, prefix_ + key, problem);
    x = static_cast<Integer>(given);
  }

  void real(const char* key, double& x, const RealRange& range) {
    const Value* value = find(key);
    if (!value) return;
    if (!value->is(Type::integer)) expect(Type::real, "a number", *value, prefix_ + key);
    const double given = value->is(Type::integer) ? static_cast<double>(value->integer) : value->real;
    if (const std::string problem = problem_of(given, range); !problem.empty()) reject(*value, prefix_ + key, problem);
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
      shown.push_back(toml_quoted(name));
    }
    reject(*value, prefix_ + key,
           fmt::format("\"{}\" is none of {}: did you mean \"{}\"?", printable(word), fmt::join(shown, ", "),
                       nearest(word, words)));
  }

  void texts(const char* key, std::vector<std::string>& x) {
    const Value* value = find(key);
    if (!value) return;
    const std::vector<Value> one = {*value};
    x.clear();
    std::vector<std::string> written;
    for (const Value& item : value->is(Type::array) ? value->items : one) {
      x.push_back(expect(Type::text, "a string or a list of strings", item, prefix_ + key).text);
      if (x.back().empty()) reject(item, prefix_ + key, "an empty string is no path");
      written.push_back(item.written);
    }
    if (std::any_of(written.begin(), written.end(), [](const std::string& path) { return !path.empty(); }))
      config_.written[prefix_ + key] = std::move(written);
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
    if (!value->is(Type::integer))
      expect(Type::real, "a number, \"none\" or \"first_hex_digit\"", *value, prefix_ + key);
    rule = Split::share;
    real(key, x, RealRange{.at_least = 0, .below = 1});
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

  void styles(const char* key, std::vector<Style>& x) {
    const Value* value = find(key);
    if (!value) return;
    const std::vector<Value>& items = expect(Type::array, "a list of styles", *value, prefix_ + key).items;
    if (items.size() > 1000) reject(*value, prefix_ + key, "lists ", items.size(), " styles, more than 1000");
    x.clear();
    for (size_t i = 0; i < items.size(); ++i) {
      Style next = style(items[i], fmt::format("{}{}[{}]", prefix_, key, i));
      for (const Style& other : x)
        if (other.name == next.name)
          reject(items[i], fmt::format("{}{}[{}].name", prefix_, key, i), "two styles are named \"",
                 printable(next.name), "\"");
      x.push_back(std::move(next));
    }
  }

  void shares(const char* key, std::vector<StyleShare>& x) {
    const Value* value = find(key);
    if (!value) return;
    expect(Type::table, "shares of styles such as { bach = 0.7, satie = 0.3 }", *value, prefix_ + key);
    x.clear();
    for (size_t i = 0; i < value->items.size(); ++i) {
      const std::string name = unquoted_key(value->keys[i]);
      Values one{{name, value->items[i]}};
      Reader reader(one, config_, prefix_ + key + ".");
      x.push_back({name});
      reader.real(name.c_str(), x.back().share, RealRange{.at_least = 0, .at_most = 1});
    }
  }

 private:
  const Value* find(const char* key) {
    const auto found = values_.find(key);
    if (found == values_.end()) return nullptr;
    const std::string& where = found->second.where;
    config_.set_by[prefix_ + key] = where.starts_with(command_line) ? command_line : where;
    return &found->second;
  }

  Style style(const Value& table, const std::string& name) {
    expect(Type::table, R"(a table such as { name = "bach", source = "music/bach" })", table, name);
    Values values;
    for (size_t i = 0; i < table.items.size(); ++i) {
      if (table.keys[i] != "name" && table.keys[i] != "source")
        reject(table.items[i], name, "unknown key \"", printable(table.keys[i]), "\", expected name and source");
      values.emplace(table.keys[i], table.items[i]);
    }
    for (const char* key : {"name", "source"})
      if (!values.count(key)) reject(table, name, "has no ", key);
    Style result;
    Reader reader(values, config_, name + ".");
    reader.text("name", result.name);
    reader.texts("source", result.source);
    const bool blank = result.name.starts_with(' ') || result.name.ends_with(' '),
               control = printable(result.name, result.name.npos) != result.name;
    if (result.name.empty() || result.name.size() > 100 || blank || control ||
        result.name.find_first_of(",=\"\\") != result.name.npos)
      reject(values.at("name"), name + ".name", "\"", printable(result.name, 40),
             "\" is no name for a style: expected 1 to 100 characters, none of , = \" \\ and no space at either end");
    return result;
  }

  BlockSettings block(const Value& table, const std::string& name) {
    expect(Type::table, "a table such as { kind = \"lstm_time\" }", table, name);
    Values values;
    for (size_t i = 0; i < table.items.size(); ++i) values.emplace(table.keys[i], table.items[i]);
    if (!values.count("kind")) reject(table, name, "has no kind");
    Reader reader(values, config_, name + ".");

    BlockKind kind{};
    reader.choice("kind", kind, block_kind_words);
    BlockSettings result = info_of(kind).defaults;
    const auto names = [](const BlockSettings& block) {
      std::vector<std::string> keys;
      for (const KeyLine& line : block_key_lines(block)) keys.push_back(line.key);
      return keys;
    };
    const std::vector<std::string> valid = names(result);
    std::vector<std::string> others;  // to tell a key of another kind from a misspelt one
    for (const BlockKindInfo& info : block_kinds)
      for (const std::string& key : names(info.defaults)) others.push_back(key);
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
  Config& config_;
  std::string prefix_;
};

// The place where the first of these keys was set; an override counts before a file, because it came last.
std::string first_place(const Values& values, std::initializer_list<const char*> keys, const std::string& origin) {
  std::string place;
  for (const char* key : keys) {
    const auto found = values.find(key);
    if (found == values.end()) continue;
    if (found->second.where.starts_with(command_line)) return found->second.where;
    if (place.empty()) place = found->second.where;
  }
  return place.empty() ? origin : place;
}

// The reason why a run's folder cannot have this name; empty if it can.
std::string name_problem(const std::string& name) {
  if (name.empty()) return "is empty";
  if (name.size() > 100) return "is longer than 100 characters";
  if (name[0] == '.' || name[0] == '-' || name[0] == ' ') return "starts with a dot, a dash or a space";
  const auto bad = [](char c) { return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 32 || c == 127; };
  return std::any_of(name.begin(), name.end(), bad) ? "has a slash, a backslash or a control character" : "";
}

}  // namespace

Config make_config(const Values& values, const std::string& origin, const std::string& name,
                   const std::string& bundled_corpus) {
  const auto sweep = values.lower_bound("sweep.");
  if (is_sweep(values)) reject(sweep->second, sweep->first, "a sweep is not one experiment");
  Config config;
  config.name = name;
  config.bundled_corpus = bundled_corpus;
  Reader reader(values, config);
  each_key(config, reader);

  const auto check = [&](bool condition, std::initializer_list<const char*> keys, const std::string& message) {
    if (!condition) fail(first_place(values, keys, origin), ": ", message);
  };
  const std::string problem = name_problem(config.name);
  check(problem.empty(), {"name"},
        fmt::format("name: \"{}\" cannot name a folder: it {}", printable(config.name), problem));
  check(!config.model.blocks.empty(), {"model.blocks"}, "model.blocks is not set: it lists what the model is made of");

  const DataConfig& data = config.data;
  check(data.lowest_note + data.notes <= 128, {"data.notes", "data.lowest_note"},
        fmt::format("data.lowest_note = {} and data.notes = {} go beyond the highest MIDI note, 127", data.lowest_note,
                    data.notes));
  check(ticks_per_quarter_written % data.steps_per_quarter == 0, {"data.steps_per_quarter"},
        fmt::format("data.steps_per_quarter = {} does not divide {}, the ticks of a quarter note",
                    data.steps_per_quarter, ticks_per_quarter_written));
  const std::optional<Meter> meter = meter_of(config.generate.meter);
  check(meter.has_value(), {"generate.meter"},
        fmt::format("generate.meter = \"{}\", expected one such as \"3/4\": 1 to 255 of a power of two up to 128",
                    printable(config.generate.meter)));
  const int64_t bar = bar_steps(*meter, data.steps_per_quarter), bars = config.generate.bars;
  check(bars * bar <= max_steps, {"generate.bars", "data.steps_per_quarter"},
        fmt::format("generate.bars = {} of {} steps each are more than the {} steps a piece may have", bars, bar,
                    max_steps));
  const std::string &keep = config.generate.keep, &keep_bars = config.generate.keep_bars;
  check(keep.empty() || !keep_bars.empty(), {"generate.keep"},
        "generate.keep: generate.keep_bars is not set: it says which bars are kept, such as \"1-8,13-16\"");
  check(keep_bars.empty() || !keep.empty(), {"generate.keep_bars"},
        "generate.keep_bars: there is no file whose bars are kept: generate.keep names one, as --keep does beside "
        "--keep-bars");
  const std::string bars_problem = keep_bars.empty() ? "" : number_list_problem(keep_bars, "bars such as 1-8,13-16");
  check(bars_problem.empty(), {"generate.keep_bars"}, "generate.keep_bars: " + bars_problem);
  const std::vector<NumberRange> kept = keep_bars.empty() ? std::vector<NumberRange>{} : parse_number_list(keep_bars);
  check(std::all_of(kept.begin(), kept.end(), [](const NumberRange& bars) { return bars.first > 0; }),
        {"generate.keep_bars"}, "generate.keep_bars: bars are counted from 1, found 0");
  check(config.generate.scale.empty() || scale_of(config.generate.scale), {"generate.scale"},
        fmt::format("generate.scale = \"{}\", expected one such as \"D minor\", \"C# major\" or \"C D E G A\"",
                    printable(config.generate.scale, 40)));
  const std::string shares_problem = mixture_problem(config.generate.style, data.styles);
  check(shares_problem.empty(), {"generate.style"}, "generate.style: " + shares_problem);
  const int64_t shards = config.train.shards;
  check((shards & (shards - 1)) == 0 && config.train.batch % shards == 0, {"train.shards", "train.batch"},
        fmt::format("train.shards = {}, expected a power of two that divides train.batch = {}", shards,
                    config.train.batch));
  const int64_t span = config.loss.harmony.span;
  check(data.window % span == 0, {"loss.harmony.span", "data.window"},
        fmt::format("loss.harmony.span = {} does not divide data.window = {}", span, data.window));

  config.model.lowest_note = data.lowest_note;
  config.model.notes = data.notes;
  config.model.channels = data.channels;
  config.model.styles = std::ssize(data.styles);
  return config;
}

std::vector<std::string> Config::paths_of(const std::vector<std::string>& sources) const {
  std::vector<std::string> paths = sources;
  std::replace(paths.begin(), paths.end(), std::string(bundled_source), bundled_corpus);
  return paths;
}

std::vector<std::string> Config::music_paths() const {
  if (data.styles.empty()) return source_paths();
  std::vector<std::string> all;
  for (const Style& style : data.styles)
    for (const std::string& path : paths_of(style.source)) all.push_back(path);
  return all;
}

namespace {

// What was so before there was a key for it.
const std::pair<const char*, const char*> meanings_before[] = {
    {"data.quantize", "\"floor\""}, {"data.meter", "\"4/4\""},           {"data.windows", "\"staggered\""},
    {"model.match", "false"},       {"model.relative_classes", "false"}, {"train.average", "0"}};

void add_meanings_before(Values& values) {
  for (const auto& [key, value] : meanings_before)
    if (!values.contains(key)) add_overrides(values, {fmt::format("{}={}", key, value)});
}

Config config_of(Values values, const std::string& origin, const std::vector<std::string>& overrides,
                 const std::string& bundled_corpus) {
  add_overrides(values, overrides);
  const std::string name = fs::path(origin).stem().string();
  return make_config(values, origin, name_problem(name).empty() ? name : "unnamed", bundled_corpus);
}

}  // namespace

Config load_config(const std::string& file, const std::vector<std::string>& overrides,
                   const std::string& bundled_corpus) {
  Values values = read_values(file);
  add_overrides(values, overrides);
  return make_config(values, file, fs::path(file).stem().string(), bundled_corpus);
}

Config load_saved_config(const std::string& file, const std::string& bundled_corpus) {
  Values values = read_values(file);
  add_meanings_before(values);
  return make_config(values, file, fs::path(file).stem().string(), bundled_corpus);
}

Config parse_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides,
                    const std::string& bundled_corpus) {
  return config_of(parse_values(text, origin), origin, overrides, bundled_corpus);
}

Config parse_saved_config(std::string_view text, const std::string& origin, const std::vector<std::string>& overrides,
                          const std::string& bundled_corpus) {
  Values values = parse_values(text, origin);
  add_meanings_before(values);
  return config_of(std::move(values), origin, overrides, bundled_corpus);
}

}  // namespace poph
