#include "experiments/run_records.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "experiments/config_keys.h"
#include "experiments/model_file.h"
#include "experiments/run_folder.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace poph {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool is_run(const fs::path& folder) { return fs::exists(folder / "run.json") || fs::exists(folder / "config.toml"); }

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

double number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : not_known;
}

// The objects of a file of lines; a torn last line, as a run that is at work may have, is left out.
std::vector<Json> read_lines(const std::string& path) {
  std::vector<Json> lines;
  if (!fs::exists(path)) return lines;
  const std::string text = read_file(path);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    Json line = Json::parse(text.substr(begin, end - begin), nullptr, false);
    if (line.is_object()) lines.push_back(std::move(line));
  }
  return lines;
}

void read_metrics(RunRecord& record) {
  for (const Json& line : read_lines(record.path + "/metrics.jsonl")) {
    if (line.contains("event")) continue;
    EpochLosses losses;
    losses.epoch = line.value("epoch", int64_t{0});
    losses.seconds = number_of(line, "time_s");
    for (const char* part : {"play", "replay", "volume", "harmony", "total", "learning_rate"})
      if (const double value = number_of(line, part); value == value) losses.parts[part] = value;
    (text_of(line, "split") == "valid" ? record.valid : record.train).push_back(std::move(losses));
  }
}

RunRecord read_run(const std::string& path) try {
  RunRecord record;
  record.path = path;
  record.name = fs::path(path).lexically_normal().filename().string();
  const RunFolder folder(path, RunFolder::Use::look);
  const nlohmann::json run = folder.run();
  record.run = Json::parse(run.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  record.status = text_of(record.run, "status");
  record.seconds = number_of(record.run, "training_seconds");
  if (const auto model = record.run.find("model"); model != record.run.end())
    record.autoregressive = model->value("autoregressive", true);
  if (folder.has_config()) {
    record.config_text = read_file(folder.file("config.toml"));
    try {
      record.config = folder.config();
    } catch (const Error& error) {  // of a version with other keys: the numbers can be shown all the same
      record.error = error.what();
    }
  }
  record.seed = record.config ? record.config->seed : record.run.value("seed", uint64_t{0});
  read_metrics(record);
  return record;
} catch (const nlohmann::json::exception& error) {
  fail(path, ": run.json or metrics.jsonl is not as PopH writes it: ", error.what());
}

// Of data, of what its cells are, and of how much is held out: losses and likelihoods of others measure something else.
std::string league_of(const RunRecord& run) {
  const std::string fingerprint = text_at(run, "data/fingerprint");
  if (!run.config || fingerprint.empty()) return "";
  const DataConfig& data = run.config->data;
  return joined("notes ", data.lowest_note, " to ", data.lowest_note + data.notes - 1, ", ", data.steps_per_quarter,
                " steps a quarter note, ", data.channels == 1 ? "play alone" : "play, replay and volume",
                run.config->loss.sum_notes ? ", losses summed over notes" : "", ", data ", fingerprint, ", ",
                data.split_rule == Split::none              ? "validated on what is trained on"
                : data.split_rule == Split::first_hex_digit ? "split by the names' first hex digit"
                                                            : joined("share held out ", data.split));
}

using Settings = std::vector<std::pair<std::string, std::string>>;  // key, value as TOML

// "attention_notes heads=2 mask=none, lstm_time": the kinds, each with what is not its default.
std::string blocks_text(const std::vector<BlockSettings>& blocks) {
  std::string text;
  for (const BlockSettings& block : blocks) {
    BlockSettings usual;
    usual.kind = block.kind;
    const std::vector<KeyLine> lines = block_key_lines(block), defaults = block_key_lines(usual);
    text += (text.empty() ? "" : ", ") + lines[0].value;
    for (size_t i = 1; i < lines.size(); ++i)
      if (lines[i].value != defaults[i].value) text += " " + lines[i].key + "=" + lines[i].value;
  }
  std::erase(text, '"');
  return text;
}

// What a run was told but its name and seed; the blocks as one setting, because lists of other lengths share no keys.
Settings settings_of(const RunRecord& run) {
  Settings settings;
  if (!run.config) return settings;
  for (const KeyLine& line : key_lines(*run.config)) {
    if (line.key == "name" || line.key == "seed" || line.key.starts_with("model.blocks[")) continue;
    settings.emplace_back(line.key, line.key == "model.blocks" ? blocks_text(run.config->model.blocks) : line.value);
  }
  return settings;
}

Configuration& configuration_of(RunSet& set, const std::string& label) {
  for (Configuration& configuration : set.configurations)
    if (configuration.label == label) return configuration;
  set.configurations.push_back({});
  set.configurations.back().label = label;
  return set.configurations.back();
}

void read_sweep(RunSet& set, const std::string& folder) try {
  set.sweep = true;
  for (const Json& line : read_lines(folder + "/index.jsonl")) {
    const std::string id = text_of(line, "id"), path = (fs::path(folder) / id).string();
    RunRecord record;
    if (!id.empty() && is_run(path)) record = read_run(path);
    record.path = path;
    record.name = id;
    record.seed = line.value("seed", record.seed);
    record.status = text_of(line, "status");
    record.autoregressive = line.value("autoregressive", record.autoregressive);
    if (const std::string error = text_of(line, "error"); !error.empty()) record.error = error;
    if (record.seconds != record.seconds) record.seconds = number_of(line, "seconds");
    const std::string label = text_of(line, "label");
    Configuration& configuration = configuration_of(set, label.empty() ? id : label);
    configuration.baseline |= line.value("baseline", false);
    configuration.runs.push_back(std::move(record));
  }
} catch (const nlohmann::json::exception& error) {
  fail(folder, "/index.jsonl: not as PopH writes it: ", error.what());
}

void read_folder(const std::string& path, RunSet& set, std::vector<RunRecord>& loose) {
  std::error_code ignored;
  require(fs::is_directory(path, ignored), path, ": no such folder");
  if (fs::exists(fs::path(path) / "index.jsonl", ignored)) return read_sweep(set, path);
  if (is_run(path)) {
    loose.push_back(read_run(path));
    return;
  }
  std::vector<std::string> folders;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_directory() && is_run(entry.path())) folders.push_back(entry.path().string());
  require(!folders.empty(), path, " holds no run: expected config.toml or run.json in it or in the folders within");
  std::sort(folders.begin(), folders.end());
  for (const std::string& folder : folders) loose.push_back(read_run(folder));
}

// What the names of runs of one configuration begin with, without what only told the seeds apart.
std::string common_name(const std::vector<RunRecord>& runs) {
  std::string name = runs.front().name;
  for (const RunRecord& run : runs)
    name.resize(
        static_cast<size_t>(std::mismatch(name.begin(), name.end(), run.name.begin(), run.name.end()).first - name.begin()));
  if (runs.size() > 1) {
    for (const std::string_view mark : {"seed", "-s", "_s"})
      if (name.ends_with(mark)) name.resize(name.size() - mark.size());
    while (!name.empty() && std::string_view("-_. =").find(name.back()) != std::string_view::npos) name.pop_back();
  }
  return name.empty() ? runs.front().name : name;
}

// Runs outside a sweep belong together where all settings are the same but name and seed.
void group(RunSet& set, std::vector<RunRecord> loose) {
  std::vector<std::pair<Settings, Configuration>> groups;
  for (RunRecord& run : loose) {
    const Settings settings = settings_of(run);
    auto found =
        std::find_if(groups.begin(), groups.end(), [&](const auto& one) { return !settings.empty() && one.first == settings; });
    if (found == groups.end()) found = groups.insert(groups.end(), {settings, {}});
    found->second.runs.push_back(std::move(run));
  }
  for (auto& [settings, configuration] : groups) {
    const std::string name = common_name(configuration.runs);
    std::string label = name;
    for (int number = 2;
         std::any_of(set.configurations.begin(), set.configurations.end(), [&](const auto& one) { return one.label == label; }); ++number)
      label = joined(name, " (", number, ")");
    configuration.label = label;
    set.configurations.push_back(std::move(configuration));
  }
}

void find_differing_settings(RunSet& set) {
  std::vector<Settings> all;
  for (const Configuration& configuration : set.configurations) all.push_back(settings_of(configuration.runs.front()));
  const auto value_of = [](const Settings& settings, const std::string& key) {
    const auto found = std::find_if(settings.begin(), settings.end(), [&](const auto& line) { return line.first == key; });
    return found == settings.end() ? std::string() : found->second;
  };
  for (const Settings& settings : all)
    for (const auto& [key, value] : settings) {
      const bool differs = std::any_of(all.begin(), all.end(), [&, &key = key](const Settings& other) {
        return !other.empty() && value_of(other, key) != value_of(settings, key);
      });
      if (differs && std::find(set.settings.begin(), set.settings.end(), key) == set.settings.end()) set.settings.push_back(key);
    }
  for (size_t i = 0; i < all.size(); ++i)
    for (const std::string& key : set.settings) set.configurations[i].settings[key] = value_of(all[i], key);
}

void complete(Configuration& configuration) {
  std::stable_sort(configuration.runs.begin(), configuration.runs.end(),
                   [](const auto& a, const auto& b) { return a.seed < b.seed; });
  for (const RunRecord& run : configuration.runs) {
    configuration.autoregressive &= run.autoregressive;
    if (configuration.league.empty()) configuration.league = league_of(run);
  }
}

}  // namespace

const EpochLosses* RunRecord::best() const {
  const double epoch = number_at(*this, "best/epoch");
  const auto found = std::find_if(judged().begin(), judged().end(),
                                  [&](const EpochLosses& losses) { return static_cast<double>(losses.epoch) == epoch; });
  return found == judged().end() ? nullptr : &*found;
}

const Json* value_at(const RunRecord& run, std::string_view path) {
  const Json* value = &run.run;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string key(path.substr(begin, end - begin));
    if (value->is_array()) {
      const size_t index = std::strtoul(key.c_str(), nullptr, 10);
      if (index >= value->size()) return nullptr;
      value = &(*value)[index];
    } else {
      const auto found = value->find(key);
      if (!value->is_object() || found == value->end()) return nullptr;
      value = &*found;
    }
    begin = end + 1;
  }
  return value;
}

double number_at(const RunRecord& run, const std::string& path) {
  const Json* value = value_at(run, path);
  return value && value->is_number() ? value->get<double>() : not_known;
}

std::string text_at(const RunRecord& run, const std::string& path) {
  const Json* value = value_at(run, path);
  return value && value->is_string() ? value->get<std::string>() : "";
}

std::vector<const RunRecord*> Configuration::finished() const {
  std::vector<const RunRecord*> found;
  for (const RunRecord& run : runs)
    if (run.finished()) found.push_back(&run);
  return found;
}

const Configuration& RunSet::baseline() const {
  return *std::find_if(configurations.begin(), configurations.end(), [](const Configuration& one) { return one.baseline; });
}

RunSet read_runs(const std::vector<std::string>& folders) {
  RunSet set;
  std::vector<RunRecord> loose;
  for (const std::string& folder : folders) {
    read_folder(folder, set, loose);
    set.title += (set.title.empty() ? "" : ", ") +
                 fs::path(fs::absolute(folder).lexically_normal() / ".").parent_path().filename().string();
  }
  group(set, std::move(loose));
  require(!set.configurations.empty(), folders.front(), "/index.jsonl: no run is listed");
  for (Configuration& configuration : set.configurations) complete(configuration);
  if (std::none_of(set.configurations.begin(), set.configurations.end(), [](const auto& one) { return one.baseline; }))
    set.configurations.front().baseline = true;
  find_differing_settings(set);
  return set;
}

}  // namespace poph
