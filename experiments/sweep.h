#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "experiments/config.h"
#include "experiments/toml_tree.h"

// An experiment file with a [sweep] table is many runs: each configuration of its axes with each of its seeds.
namespace poph {

struct SweepRun {
  std::string id;     // its folder: the label and the seed to read, and the hash() of the settings
  std::string label;  // of the configuration, the same for all seeds: "raw, span 16"
  std::vector<std::pair<std::string, Value>> settings;  // what the axes set; of files to extend the name without its folders
  bool baseline = false;                                // one of the runs that the others are compared with
  Config config;                                        // whole; its name is the id
  std::string hash() const { return id.substr(id.rfind('-') + 1); }
};

struct Sweep {
  std::string file, name;
  std::vector<SweepRun> runs;             // all configurations with the first seed, then all with the second, ..
  size_t configurations = 0, merged = 0;  // merged: how many more were named that have the settings of another
  size_t seeds = 0;
  std::string text;  // the sweep as a file of its own: values as the overrides left them, paths absolute
};

// Nothing where neither the file nor an override says sweep.*. Each configuration is checked as an experiment is: Error names the
// file and line of the first mistake. At most 10,000 runs, 400 MB of memory and 500 bytes for each byte of the file, 20 s of a core
// and 10 us for each.
std::optional<Sweep> load_sweep(const std::string& file, const std::vector<std::string>& overrides,
                                const std::string& bundled_corpus);

// 10 hexadecimal digits of all that determines a run's results: every key but the name that is not its default. A key that is
// added to PopH later, with a default that changes nothing, leaves it as it is.
std::string settings_hash(const Config& config);

}  // namespace poph
