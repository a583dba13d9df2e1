#include <fmt/format.h>

#include <algorithm>

#include "experiments/config.h"
#include "experiments/config_keys.h"
#include "experiments/toml_tree.h"
#include "tensor/printable.h"

namespace poph {

namespace {

struct Writer {
  std::vector<KeyLine> lines;

  void text(const char* key, const std::string& x) { lines.push_back({key, quoted(x)}); }
  void integer(const char* key, uint64_t x, int64_t, int64_t) { lines.push_back({key, fmt::format("{}", x)}); }
  void integer(const char* key, int64_t x, int64_t, int64_t) { lines.push_back({key, fmt::format("{}", x)}); }
  void flag(const char* key, bool x) { lines.push_back({key, x ? "true" : "false"}); }
  void real(const char* key, double x, const Range&) { lines.push_back({key, real_digits(x)}); }

  template <class T>
  void choice(const char* key, const T& x, const Choices<T>& choices) {
    const auto found = std::find_if(choices.begin(), choices.end(), [&](const auto& choice) { return choice.second == x; });
    lines.push_back({key, quoted(found == choices.end() ? "" : found->first)});
  }

  void texts(const char* key, const std::vector<std::string>& x) {
    std::vector<std::string> items;
    for (const std::string& item : x) items.push_back(quoted(item));
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

  // The kinds alone, then each block's own keys as model.blocks[0].heads.
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

  void styles(const char* key) { lines.push_back({key, "[]"}); }
};

std::string origin(const Config& config, const std::string& key) {
  const auto found = config.set_by.find(key);
  return found == config.set_by.end() ? "default" : found->second;
}

// Where a block's line comes from, and which of its keys the file left to their defaults.
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
  for (const KeyLine& line : key_lines(config)) {
    if (line.key.starts_with("model.blocks[")) continue;
    const size_t dot = line.key.rfind('.');
    const std::string line_section = dot == std::string::npos ? "" : line.key.substr(0, dot);
    if (line_section != section) result += fmt::format("\n[{}]\n", section = line_section);
    const std::string name = line.key.substr(dot + 1);  // npos + 1 is 0
    if (line.key != "model.blocks") {
      print(name + " = " + line.value, origin(config, line.key));
      continue;
    }
    print("blocks = [", origin(config, line.key));
    for (size_t b = 0; b < config.model.blocks.size(); ++b) {
      const std::vector<KeyLine> keys = block_key_lines(config.model.blocks[b]);
      std::vector<std::string> fields;
      for (const KeyLine& key : keys) fields.push_back(key.key + " = " + key.value);
      print(fmt::format("  {{ {} }},", fmt::join(fields, ", ")), block_origin(config, fmt::format("model.blocks[{}].", b), keys));
    }
    result += "]\n";
  }
  return result;
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

std::string to_toml(const Config& config) { return printed(config, false); }

std::string describe_config(const Config& config) { return printed(config, true); }

std::vector<std::string> differing_keys(const Config& was, const Config& now, const KeyFilter& ignored) {
  std::map<std::string, std::string> before;
  for (const KeyLine& line : key_lines(was)) before[line.key] = line.value;
  std::vector<std::string> differing;
  for (const KeyLine& line : key_lines(now)) {
    // A block's key that the other experiment does not have shows in the list of kinds already.
    const auto found = before.find(line.key);
    if (found == before.end() || found->second == line.value || (ignored && ignored(line.key))) continue;
    differing.push_back(fmt::format("{}: was {}, now {}", line.key, found->second, line.value));
  }
  return differing;
}

KeyFilter may_change_on_resume(const Config& was, const Config& now) {
  const bool longer = now.train.epochs > was.train.epochs, more_patient = now.train.patience > was.train.patience;
  return [longer, more_patient](std::string_view key) {
    return (key == "train.epochs" && longer) || (key == "train.patience" && more_patient) || key == "train.tensorboard" || key == "train.on_nan" || key.starts_with("generate.");
  };
}

}  // namespace poph
