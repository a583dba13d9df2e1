#pragma once
#include <functional>
#include <string>
#include <vector>

#include "experiments/config/config.h"
#include "tensor/error.h"

// One run of an experiment, from its folder to its report.
namespace poph {

struct RunOptions {
  std::string file;
  std::vector<std::string> overrides;
  std::string out;  // the folder that runs lie in
  std::string device = "auto";
  int threads = 0;  // 0: as many as there are processors
  bool restart = false, dry_run = false, smoke = false, quiet = false;
  bool supervised = false;                        // by a sweep's process, which passes signals on
  std::string command_line;                       // for run.json
  std::function<void(const std::string&)> watch;  // called with each new stage of the work: "epoch 3/14"
};

struct DivergedError : Error {  // the training diverged; the last good checkpoint is in place
  using Error::Error;
};

// Trains one experiment and composes with it, or resumes it where an earlier session stopped. Returns the exit code: 0
// or exit_resumable. Error: RunFolder::InUse, DivergedError, and whatever else is wrong.
int run_experiment(Config config, const RunOptions& options);

}  // namespace poph
