#include "experiments/report/records.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "data/files/file.h"
#include "experiments/config/keys.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/run_folder.h"
#include "nn/loss_parts.h"
#include "tensor/error.h"

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

// The objects of a file of lines. The last line of a running run may be torn; it is left out.
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

void read_metrics(Run& run) {
  for (const Json& line : read_lines(run.path + "/metrics.jsonl")) {
    if (line.contains("event")) continue;
    EpochLosses losses;
    losses.epoch = line.value("epoch", int64_t{0});
    losses.seconds = number_of(line, "time_s");
    const auto read = [&](const char* name) {
      if (const double value = number_of(line, name); !std::isnan(value)) losses.parts[name] = value;
    };
    for (const LossPart& part : loss_parts) read(part.name);
    read("learning_rate");
    (text_of(line, "split") == "valid" ? run.valid : run.train).push_back(std::move(losses));
  }
}

Run read_run(const std::string& path) try {
  Run run;
  run.path = path;
  run.name = fs::path(path).lexically_normal().filename().string();
  const RunFolder folder(path, RunFolder::Use::look);
  run.record = folder.record();
  run.status = run.record.status;
  run.seconds = run.record.training_seconds.value_or(not_known);
  run.autoregressive = !run.record.model || run.record.model->autoregressive;
  if (folder.has_config()) {
    run.config_text = read_file(folder.file("config.toml"));
    try {
      run.config = folder.config();
    } catch (const Error& error) {  // of a version with other keys: the numbers can be shown all the same
      run.error = error.what();
    }
  }
  run.seed = run.config ? run.config->seed : run.record.seed.value_or(0);
  read_metrics(run);
  return run;
} catch (const nlohmann::json::exception& error) {
  fail(path, ": metrics.jsonl is not as PopH writes it: ", error.what());
}

std::string fingerprint_of(const Run& run) { return run.record.data ? run.record.data->fingerprint.value_or("") : ""; }

bool is_aside(const Run& run) { return run.config && is_moved_aside(run.name, run.config->name); }

// The folders that are not read, with the reasons.
class LeftOut {
 public:
  void add(const Run& run, const std::string& why) {
    if (++count_ <= max_named) text_ += joined(count_ > 1 ? ", " : "left out: ", run.path, " (", why, ")");
  }
  std::string text() const { return count_ > max_named ? joined(text_, " and ", count_ - max_named, " more") : text_; }

 private:
  static constexpr int max_named = 10;
  std::string text_;
  int count_ = 0;
};

std::string comparison_group(const Run& run) {
  const std::string fingerprint = fingerprint_of(run);
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

// All settings of a run but its name and seed. The blocks are one setting, and so are the names of the styles, because
// lists of different lengths share no keys.
Settings settings_of(const Run& run) {
  Settings settings;
  if (!run.config) return settings;
  for (const KeyLine& line : key_lines(*run.config)) {
    if (line.key == "name" || line.key == "seed" || line.key.starts_with("model.blocks[") ||
        line.key.starts_with("model.styles["))
      continue;
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
    Run run;
    if (!id.empty() && is_run(path)) run = read_run(path);
    run.path = path;
    run.name = id;
    run.seed = line.value("seed", run.seed);
    const auto status = find_status(line.value("status", "pending"));
    require(status.has_value(), folder, "/index.jsonl: not as PopH writes it: \"status\" is ", line["status"].dump());
    run.status = *status;
    run.autoregressive = line.value("autoregressive", run.autoregressive);
    if (const std::string error = text_of(line, "error"); !error.empty()) run.error = error;
    if (run.seconds != run.seconds) run.seconds = number_of(line, "seconds");
    const std::string label = text_of(line, "label");
    Configuration& configuration = configuration_of(set, label.empty() ? id : label);
    configuration.baseline |= line.value("baseline", false);
    configuration.runs.push_back(std::move(run));
  }
} catch (const nlohmann::json::exception& error) {
  fail(folder, "/index.jsonl: not as PopH writes it: ", error.what());
}

void read_folder(const std::string& path, RunSet& set, std::vector<Run>& loose, LeftOut& left_out) {
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
  for (const std::string& folder : folders) {
    Run run = read_run(folder);
    const std::string replaced = run.config ? (fs::path(path) / run.config->name).string() : "";
    if (is_aside(run) && std::binary_search(folders.begin(), folders.end(), replaced))
      left_out.add(run, "moved aside by --restart");
    else
      loose.push_back(std::move(run));
  }
}

// Where music, first weights and the files of [generate] lie is no setting, but what they are: runs with the same get
// the same paths.
void settle_places(const std::vector<Run*>& runs) {
  std::map<std::string, DataConfig> music_of;
  std::map<std::string, std::string> starts;
  std::array<std::map<std::string, std::string>, generate_files.size()> files;
  for (Run* run : runs) {
    const std::string music = fingerprint_of(*run);
    if (!run->config || music.empty()) continue;
    const DataConfig& first = music_of.emplace(music, run->config->data).first->second;
    run->config->data.source = first.source;
    for (size_t i = 0; i < std::min(first.styles.size(), run->config->data.styles.size()); ++i)
      run->config->data.styles[i].source = first.styles[i].source;
    for (size_t i = 0; i < files.size(); ++i) {
      std::string& path = run->config->generate.*generate_files[i].path;
      if (run->record.files[i]) path = files[i].emplace(*run->record.files[i], path).first->second;
    }
    if (run->record.start_from)
      run->config->train.start_from =
          starts.emplace(*run->record.start_from, run->config->train.start_from).first->second;
  }
}

// All that determines a run's results. Empty: not known.
std::string identity(const Run& run) {
  const std::string music = fingerprint_of(run);
  if (!run.config || music.empty()) return "";
  std::string text = music;
  for (const KeyLine& line : key_lines(*run.config))
    if (line.key != "name") text += "\n" + line.key + " = " + line.value;
  return text;
}

// Keeps one of the runs that are the same.
void leave_out_copies(RunSet& set, std::vector<Run>& loose, LeftOut& left_out) {
  std::vector<Run*> runs;
  for (Configuration& one : set.configurations)
    for (Run& run : one.runs) runs.push_back(&run);
  for (Run& run : loose) runs.push_back(&run);
  settle_places(runs);
  const auto better = [](const Run& a, const Run& b) {
    return is_aside(a) != is_aside(b) ? is_aside(b) : a.finished() && !b.finished();
  };
  std::vector<std::string> identities;
  std::map<std::string, const Run*> kept;
  for (const Run* run : runs) {
    identities.push_back(identity(*run));
    const Run*& place = kept[identities.back()];
    if (!place || better(*run, *place)) place = run;
  }
  std::set<const Run*> copies;
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run* same = kept[identities[i]];
    if (same == runs[i] || identities[i].empty()) continue;
    copies.insert(runs[i]);
    left_out.add(*runs[i], same->path == runs[i]->path ? "named twice" : "the same as " + same->path);
  }
  const auto is_copy = [&](const Run& run) { return copies.contains(&run); };  // asked before it is moved
  for (Configuration& one : set.configurations) std::erase_if(one.runs, is_copy);
  std::erase_if(set.configurations, [](const Configuration& one) { return one.runs.empty(); });
  std::erase_if(loose, is_copy);
}

// The common beginning of the names of a configuration's runs, without a mark of the seed.
std::string common_name(const std::vector<Run>& runs) {
  std::string name = runs.front().name;
  for (const Run& run : runs)
    name.resize(static_cast<size_t>(std::mismatch(name.begin(), name.end(), run.name.begin(), run.name.end()).first -
                                    name.begin()));
  if (runs.size() > 1) {
    for (const std::string_view mark : {"seed", "-s", "_s"})
      if (name.ends_with(mark)) name.resize(name.size() - mark.size());
    while (!name.empty() && std::string_view("-_. =").find(name.back()) != std::string_view::npos) name.pop_back();
  }
  return name.empty() ? runs.front().name : name;
}

// Runs outside a sweep are one configuration where all settings but name and seed are the same.
void group(RunSet& set, std::vector<Run> loose) {
  std::vector<std::pair<Settings, Configuration>> groups;
  for (Run& run : loose) {
    const Settings settings = settings_of(run);
    auto found = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& one) { return !settings.empty() && one.first == settings; });
    if (found == groups.end()) found = groups.insert(groups.end(), {settings, {}});
    found->second.runs.push_back(std::move(run));
  }
  for (auto& [settings, configuration] : groups) {
    const std::string name = common_name(configuration.runs);
    std::string label = name;
    for (int number = 2; std::any_of(set.configurations.begin(), set.configurations.end(),
                                     [&](const auto& one) { return one.label == label; });
         ++number)
      label = joined(name, " (", number, ")");
    configuration.label = label;
    set.configurations.push_back(std::move(configuration));
  }
}

void find_differing_settings(RunSet& set) {
  std::vector<Settings> all;
  for (const Configuration& configuration : set.configurations) all.push_back(settings_of(configuration.runs.front()));
  const auto value_of = [](const Settings& settings, const std::string& key) {
    const auto found =
        std::find_if(settings.begin(), settings.end(), [&](const auto& line) { return line.first == key; });
    return found == settings.end() ? std::string() : found->second;
  };
  for (const Settings& settings : all)
    for (const auto& [key, value] : settings) {
      const bool differs = std::any_of(all.begin(), all.end(), [&, &key = key](const Settings& other) {
        return !other.empty() && value_of(other, key) != value_of(settings, key);
      });
      if (differs && std::find(set.settings.begin(), set.settings.end(), key) == set.settings.end())
        set.settings.push_back(key);
    }
  for (size_t i = 0; i < all.size(); ++i)
    for (const std::string& key : set.settings) set.configurations[i].settings[key] = value_of(all[i], key);
}

void complete(Configuration& configuration) {
  std::stable_sort(configuration.runs.begin(), configuration.runs.end(),
                   [](const auto& a, const auto& b) { return a.seed < b.seed; });
  for (const Run& run : configuration.runs) {
    configuration.autoregressive &= run.autoregressive;
    if (configuration.group.empty()) configuration.group = comparison_group(run);
  }
}

}  // namespace

const EpochLosses* Run::best() const {
  if (!record.best) return nullptr;
  const auto found = std::find_if(judged().begin(), judged().end(),
                                  [&](const EpochLosses& losses) { return losses.epoch == record.best->epoch; });
  return found == judged().end() ? nullptr : &*found;
}

std::vector<const Run*> Configuration::finished() const {
  std::vector<const Run*> found;
  for (const Run& run : runs)
    if (run.finished()) found.push_back(&run);
  return found;
}

const Configuration& RunSet::baseline() const {
  return *std::find_if(configurations.begin(), configurations.end(),
                       [](const Configuration& one) { return one.baseline; });
}

RunSet read_runs(const std::vector<std::string>& folders) {
  RunSet set;
  std::vector<Run> loose;
  LeftOut left_out;
  for (const std::string& folder : folders) {
    read_folder(folder, set, loose, left_out);
    set.title += (set.title.empty() ? "" : ", ") +
                 fs::path(fs::absolute(folder).lexically_normal() / ".").parent_path().filename().string();
  }
  leave_out_copies(set, loose, left_out);
  set.left_out = left_out.text();
  group(set, std::move(loose));
  require(!set.configurations.empty(), folders.front(), "/index.jsonl: no run is listed");
  for (Configuration& configuration : set.configurations) complete(configuration);
  if (std::none_of(set.configurations.begin(), set.configurations.end(), [](const auto& one) { return one.baseline; }))
    set.configurations.front().baseline = true;
  find_differing_settings(set);
  return set;
}

}  // namespace poph
