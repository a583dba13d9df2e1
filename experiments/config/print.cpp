// Experiments as text: TOML that reads back to the same values, and the differences between two of them.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "data/files/text.h"
#include "experiments/config/config.h"
#include "experiments/config/keys.h"
#include "experiments/config/toml.h"
#include "experiments/config/values.h"

namespace poph {

namespace {

struct Writer {
  std::vector<KeyLine> lines;

  void text(const char* key, const std::string& x) { lines.push_back({key, toml_quoted(x)}); }
  void integer(const char* key, uint64_t x, int64_t, int64_t) { lines.push_back({key, fmt::format("{}", x)}); }
  void integer(const char* key, int64_t x, int64_t, int64_t) { lines.push_back({key, fmt::format("{}", x)}); }
  void flag(const char* key, bool x) { lines.push_back({key, x ? "true" : "false"}); }
  void real(const char* key, double x, const RealRange&) { lines.push_back({key, real_digits(x)}); }

  template <class T>
  void choice(const char* key, const T& x, const Choices<T>& choices) {
    const auto found =
        std::find_if(choices.begin(), choices.end(), [&](const auto& choice) { return choice.second == x; });
    lines.push_back({key, toml_quoted(found == choices.end() ? "" : found->first)});
  }

  void texts(const char* key, const std::vector<std::string>& x) {
    std::vector<std::string> items;
    for (const std::string& item : x) items.push_back(toml_quoted(item));
    lines.push_back({key, items.size() == 1 ? items[0] : fmt::format("[{}]", fmt::join(items, ", "))});
  }

  void channels(const char* key, int64_t x) {
    lines.push_back({key, x == 1 ? R"(["play"])" : R"(["play", "replay", "volume"])"});
  }

  void split(const char* key, double x, Split rule) {
    if (rule == Split::share)
      real(key, x, {});
    else
      choice(key, rule, split_words);
  }

  // The list of kinds, then each block's own keys as model.blocks[0].heads.
  void blocks(const char* key, const std::vector<BlockSettings>& x) {
    const size_t at = lines.size();
    std::vector<std::string> kinds;
    for (size_t b = 0; b < x.size(); ++b) {
      const std::vector<KeyLine> block = block_key_lines(x[b]);
      kinds.push_back(block[0].value);
      for (const KeyLine& line : block) lines.push_back({fmt::format("{}[{}].{}", key, b, line.key), line.value});
    }
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(at), {key, fmt::format("[{}]", fmt::join(kinds, ", "))});
  }

  // The list of names, then what each style is made of as model.styles[0].source.
  void styles(const char* key, const std::vector<Style>& x) {
    std::vector<std::string> names;
    for (const Style& style : x) names.push_back(toml_quoted(style.name));
    lines.push_back({key, fmt::format("[{}]", fmt::join(names, ", "))});
    for (size_t i = 0; i < x.size(); ++i) texts(fmt::format("{}[{}].source", key, i).c_str(), x[i].source);
  }

  void shares(const char* key, const std::vector<StyleShare>& x) {
    std::vector<std::string> shares;
    for (const auto& [name, share] : x) shares.push_back(toml_quoted(name) + " = " + real_digits(share));
    lines.push_back({key, x.empty() ? "{}" : fmt::format("{{ {} }}", fmt::join(shares, ", "))});
  }
};

std::string origin(const Config& config, const std::string& key) {
  const auto found = config.set_by.find(key);
  return found == config.set_by.end() ? "default" : found->second;
}

// The place that set a block's line, and the keys that it left to their defaults.
std::string block_origin(const Config& config, const std::string& prefix, const std::vector<KeyLine>& keys) {
  std::vector<std::string> defaults;
  for (const KeyLine& line : keys)
    if (!config.set_by.count(prefix + line.key)) defaults.push_back(line.key);
  if (defaults.size() == keys.size()) return "default";
  const std::string where = origin(config, prefix + "kind");
  return defaults.empty() ? where : fmt::format("{}; default: {}", where, fmt::join(defaults, ", "));
}

std::string printed(const Config& config, bool with_origins) {
  std::string result, section;
  const auto print = [&](const std::string& line, const std::string& where) {
    result += with_origins ? fmt::format("{:<40}  # {}\n", line, printable(where, std::string::npos)) : line + "\n";
  };
  const std::vector<KeyLine> lines = key_lines(config);
  for (size_t i = 0; i < lines.size(); ++i) {
    const KeyLine& line = lines[i];
    if (line.key.starts_with("model.blocks[") || line.key.starts_with("model.styles[")) continue;
    const size_t dot = line.key.rfind('.');
    const std::string line_section = dot == std::string::npos ? "" : line.key.substr(0, dot);
    if (line_section != section) result += fmt::format("\n[{}]\n", section = line_section);
    const std::string name = line.key.substr(dot + 1);  // npos + 1 is 0
    if (line.key == "model.styles" && !config.data.styles.empty()) {
      print("styles = [", origin(config, line.key));
      for (size_t s = 0; s < config.data.styles.size(); ++s)  // their sources are the lines behind this one
        result += fmt::format("  {{ name = {}, source = {} }},\n", toml_quoted(config.data.styles[s].name),
                              lines[i + 1 + s].value);
      result += "]\n";
      continue;
    }
    if (line.key != "model.blocks") {
      print(name + " = " + line.value, origin(config, line.key));
      continue;
    }
    print("blocks = [", origin(config, line.key));
    for (size_t b = 0; b < config.model.blocks.size(); ++b) {
      const std::vector<KeyLine> keys = block_key_lines(config.model.blocks[b]);
      std::vector<std::string> fields;
      for (const KeyLine& key : keys) fields.push_back(key.key + " = " + key.value);
      print(fmt::format("  {{ {} }},", fmt::join(fields, ", ")),
            block_origin(config, fmt::format("model.blocks[{}].", b), keys));
    }
    result += "]\n";
  }
  return result;
}

// Calls f(path, as it was written) for each path that was written as a relative one.
template <class F>
void each_relative_path(Config& config, F f) {
  const auto visit = [&](const char* key, size_t i, std::string& path) {
    const auto found = config.written.find(key);
    if (found != config.written.end() && i < found->second.size() && !found->second[i].empty())
      f(path, found->second[i]);
  };
  for (size_t i = 0; i < config.data.source.size(); ++i) visit("data.source", i, config.data.source[i]);
  for (size_t s = 0; s < config.data.styles.size(); ++s)
    for (size_t i = 0; i < config.data.styles[s].source.size(); ++i)
      visit(fmt::format("model.styles[{}].source", s).c_str(), i, config.data.styles[s].source[i]);
  visit("train.start_from", 0, config.train.start_from);
  for (const GenerateFile& file : generate_files) visit(file.key, 0, config.generate.*file.path);
}

// In epochs; 0 stands for patience without end.
int64_t patience(const Config& config) {
  return config.train.patience == 0 ? std::numeric_limits<int64_t>::max() : config.train.patience;
}

}  // namespace

std::vector<KeyLine> key_lines(const Config& config) {
  Writer writer;
  each_key(config, writer);
  return writer.lines;
}

std::vector<KeyLine> block_key_lines(const BlockSettings& block) {
  Writer writer;
  each_block_key(block, writer);
  return writer.lines;
}

Config as_written(Config config) {
  each_relative_path(config, [](std::string& path, const std::string& written) { path = written; });
  return config;
}

std::string to_toml(const Config& config, const std::string& folder) {
  Config moved = config;
  each_relative_path(moved,
                     [&](std::string& path, const std::string& written) { path = path_in(folder, path, written); });
  return printed(moved, false);
}

std::string describe_config(const Config& config) { return printed(config, true); }

std::vector<std::string> differing_keys(const Config& was, const Config& now, const KeyFilter& ignored) {
  std::map<std::string, std::string> before;
  for (const KeyLine& line : key_lines(was)) before[line.key] = line.value;
  std::vector<std::string> differing;
  for (const KeyLine& line : key_lines(now)) {
    // A block's key that the other experiment does not have shows in the list of kinds already.
    const auto found = before.find(line.key);
    if (line.key == "name" || found == before.end() || found->second == line.value || (ignored && ignored(line.key)))
      continue;
    differing.push_back(fmt::format("{}: was {}, now {}", line.key, found->second, line.value));
  }
  return differing;
}

KeyFilter may_change_on_resume(const Config& was, const Config& now) {
  const TrainConfig &before = was.train, &after = now.train;
  const bool longer = after.epochs > before.epochs && before.schedule != Schedule::cosine,
             more_patient = patience(now) > patience(was) && before.schedule != Schedule::plateau;
  return [longer, more_patient](std::string_view key) {
    return (key == "train.epochs" && longer) || (key == "train.patience" && more_patient) ||
           key == "train.tensorboard" || key == "train.on_nan" || key.starts_with("generate.");
  };
}

}  // namespace poph
