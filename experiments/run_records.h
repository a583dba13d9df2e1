#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/config.h"

// Runs as they lie on the disk, read for reports and comparisons: in whatever state, and made by whatever version.
namespace poph {

constexpr double not_known = std::numeric_limits<double>::quiet_NaN();

struct EpochLosses {
  int64_t epoch = 0;
  double seconds = not_known;           // of training up to its end
  std::map<std::string, double> parts;  // play, replay, volume, harmony, total; learning_rate beside the training losses
};

struct RunRecord {
  std::string path, name, status, error;  // path: the run's folder
  uint64_t seed = 0;
  bool autoregressive = true;
  double seconds = not_known;  // of training
  nlohmann::ordered_json run;  // run.json, or an empty object
  std::optional<Config> config;
  std::string config_text;  // config.toml as it is
  std::vector<EpochLosses> train, valid;

  bool finished() const { return status == "finished"; }
  // The validation's losses where there are any, and else the training's.
  const std::vector<EpochLosses>& judged() const { return valid.empty() ? train : valid; }
  const EpochLosses* best() const;  // at the epoch whose weights are kept as the best; null before the first epoch's end
};

// Runs that differ in nothing but the seed.
struct Configuration {
  std::string label;
  std::map<std::string, std::string> settings;  // those in which the configurations of a set differ, as TOML
  std::string league;  // what losses and likelihoods are about: the data, its note range and steps; compared only where equal
  bool baseline = false, autoregressive = true;
  std::vector<RunRecord> runs;  // by seed

  std::vector<const RunRecord*> finished() const;
};

struct RunSet {
  std::string title;
  bool sweep = false;                         // read from a sweep's index.jsonl
  std::vector<Configuration> configurations;  // one of them is the baseline: as the sweep says, or else the first
  std::vector<std::string> settings;          // all keys of Configuration::settings, in the order of experiment files

  const Configuration& baseline() const;
};

// Each folder is a run, a sweep (with an index.jsonl) or a folder of run folders. Error: one that is not there or holds no run.
RunSet read_runs(const std::vector<std::string>& folders);

// What stands at "a/b/0/c" of a run's run.json: null, NaN or "" where there is no such thing, number or text.
const nlohmann::ordered_json* value_at(const RunRecord& run, std::string_view path);
double number_at(const RunRecord& run, const std::string& path);
std::string text_at(const RunRecord& run, const std::string& path);

}  // namespace poph
