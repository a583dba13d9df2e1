#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "experiments/config/config.h"
#include "experiments/workspace/run_record.h"

// Runs as they lie on the disk, read for reports and comparisons: in whatever state, and made by whatever version.
namespace poph {

struct EpochLosses {
  int64_t epoch = 0;
  double seconds = not_known;           // of training up to its end
  std::map<std::string, double> parts;  // by the names of loss_parts, and learning_rate beside the training losses
};

struct Run {
  std::string path, name, error;  // path: the run's folder
  RunStatus status = RunStatus::pending;
  uint64_t seed = 0;
  bool autoregressive = true;
  double seconds = not_known;  // of training
  RunRecord record;            // run.json
  std::optional<Config> config;
  std::string config_text;  // config.toml as it is
  std::vector<EpochLosses> train, valid;

  bool finished() const { return status == RunStatus::finished; }
  // The validation's losses where there are any, and else the training's.
  const std::vector<EpochLosses>& judged() const { return valid.empty() ? train : valid; }
  const EpochLosses* best() const;  // of the epoch whose weights are the checkpoint "best"; null before there is one
};

// Runs that differ in nothing but the seed.
struct Configuration {
  std::string label;
  std::map<std::string, std::string> settings;  // those in which the configurations of a set differ, as TOML
  // The comparison group: the data, its note range and steps, and what is learnt of it. Losses and likelihoods of
  // different groups measure different things. Empty where nothing is known of the data yet.
  std::string group;
  bool baseline = false, autoregressive = true;
  std::vector<Run> runs;  // by seed

  std::vector<const Run*> finished() const;
};

struct RunSet {
  std::string title;
  bool sweep = false;                         // read from a sweep's index.jsonl
  std::vector<Configuration> configurations;  // one of them is the baseline: as the sweep says, or else the first
  std::vector<std::string> settings;          // all keys of Configuration::settings, in the order of experiment files
  // "left out: runs/x.1 (moved aside by --restart), runs/copy (the same as runs/x)", or "": a seed counts once.
  std::string left_out;

  const Configuration& baseline() const;
};

// Each folder is a run, a sweep (with an index.jsonl) or a folder of run folders. Of runs with the same settings, data
// and seed one is read, a finished one if there is any; runs that --restart moved aside are read where they are named.
// Error: a folder does not exist or holds no run.
RunSet read_runs(const std::vector<std::string>& folders);

}  // namespace poph
