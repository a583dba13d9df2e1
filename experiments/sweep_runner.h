#pragma once
#include "experiments/experiment.h"
#include "experiments/sweep.h"

namespace poph {

struct SweepOptions {
  RunOptions run;      // of every run; `out` is the folder that sweeps lie in
  int jobs = 1;        // runs at once, each a process with its share of the threads
  int64_t index = -1;  // this run alone, in this process
  bool list = false;   // print the runs' ids and end
  bool retry_failed = false;
};

// Does what the options say with a sweep: lists it, estimates it, runs one of it or all of it. Returns the exit code: 0 when all
// that was asked for is finished, or exit_resumable. Errors are thrown, among them that runs failed, after all others are done.
int run_sweep(Sweep sweep, SweepOptions options);

}  // namespace poph
