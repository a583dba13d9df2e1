#pragma once
#include "experiments/sweep/sweep.h"

// Runs a sweep: several runs at once, each in a process of its own.
namespace poph {

// Lists, estimates or runs a sweep or one run of it, as the options say. Returns the exit code: 0 when all that was
// asked for is finished, or exit_resumable. Error, after all other runs are done: some failed.
int run_sweep(Sweep sweep, SweepOptions options);

}  // namespace poph
