#pragma once
#include <string>
#include <vector>

namespace poph {

struct RunOptions {
  std::string file;
  std::vector<std::string> overrides;
  std::string out;                // the folder that runs lie in
  std::string device = "auto";
  int threads = 0;                // 0: as many as there are processors
  bool restart = false, dry_run = false, smoke = false, quiet = false;
  std::string command_line;       // for run.json
};

// Trains one experiment and composes with it, or goes on where an earlier sitting stopped. Returns the exit code: 0 or
// exit_resumable. Errors are thrown.
int run_experiment(const RunOptions& options);

}  // namespace poph
