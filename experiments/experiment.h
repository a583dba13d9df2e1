#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "experiments/config.h"

namespace poph {

struct RunOptions {
  std::string file;
  std::vector<std::string> overrides;
  std::string out;                // the folder that runs lie in
  std::string device = "auto";
  int threads = 0;                // 0: as many as there are processors
  bool restart = false, dry_run = false, smoke = false, quiet = false;
  bool supervised = false;        // by a sweep's process, which passes signals on
  std::string command_line;       // for run.json
};

// Trains one experiment and composes with it, or goes on where an earlier sitting stopped. Returns the exit code: 0 or
// exit_resumable. Errors are thrown.
int run_experiment(Config config, const RunOptions& options);

// What a run will need, from a training step on the side.
struct Estimate {
  double step_seconds = 0, epoch_seconds = 0, peak_bytes = 0;  // an epoch with its validation
  int64_t windows = 0, steps_per_epoch = 0;                    // windows: in the step that was measured
};
Estimate estimate_run(const Config& config, const RunOptions& options);

}  // namespace poph
