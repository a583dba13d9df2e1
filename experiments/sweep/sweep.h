#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/config/config.h"
#include "experiments/config/toml.h"
#include "experiments/config/values.h"
#include "experiments/run/run.h"
#include "experiments/sweep/axes.h"

// A sweep: an experiment file with a [sweep] table, which is many runs. Each configuration of its axes is run with each
// of its seeds.
namespace poph {

struct SweepRun {
  std::string id;     // and its folder: LABEL-seedN-HASH
  std::string label;  // of the configuration, the same for all seeds: "raw, span 16"
  // of the axes; a file to extend is named without its folders
  std::vector<std::pair<std::string, Value>> settings;
  bool baseline = false;  // one of the runs that the others are compared with
  Config config;          // whole; its name is the id
  std::string hash() const { return id.substr(id.rfind('-') + 1); }
  void set_hash(const std::string& hash) { config.name = id = id.substr(0, id.rfind('-') + 1) + hash; }
};

struct Sweep {
  std::string file, name;
  std::vector<SweepRun> runs;  // all configurations with the first seed, then all with the second, ..
  size_t configurations = 0, seeds = 0;
  size_t merged = 0;  // combinations left out because another one has the same settings
  FileValues own;     // what the file itself sets, with the overrides
  std::vector<Grid> grids;

  // sweep.toml: the sweep as a file of its own, with the overrides in it. For a file in `folder`, paths that were
  // written as relative ones are relative to it; without one they are absolute.
  std::string text(const std::string& folder = "") const;
};

struct SweepOptions {
  RunOptions run;      // of every run; `out` is the folder that sweeps lie in
  int jobs = 1;        // runs at once, each a process with its share of the threads
  int64_t index = -1;  // this run alone, in this process
  bool list = false;   // print the runs' ids and end
  bool retry_failed = false;
};

// Nothing where neither the file nor an override sets sweep.*. Each configuration is checked as an experiment is: Error
// names the file and line of the first mistake. At most 10,000 runs; at most 400 MB of memory and 20 s of one core, and
// 500 bytes and 10 us more for each byte of the file.
std::optional<Sweep> load_sweep(const std::string& file, const std::vector<std::string>& overrides,
                                const std::string& bundled_corpus);

// 10 hexadecimal digits of all that determines a run's results: of every key but the name that is not at its default,
// with paths as they are written, so that a sweep can move. A key that is added to PopH changes no hash, as long as
// its default changes nothing.
std::string settings_hash(const Config& config);
// The same with absolute paths: for two runs that are written alike, and as earlier versions named folders.
std::string absolute_settings_hash(const Config& config);

}  // namespace poph
