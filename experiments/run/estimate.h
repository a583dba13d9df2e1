#pragma once
#include <cstdint>

#include "experiments/config/config.h"
#include "experiments/run/run.h"
#include "experiments/run/run_data.h"
#include "experiments/workspace/console.h"
#include "nn/biaxial.h"

// How long a run will take and how much memory it needs, from real training steps.
namespace poph {

struct Estimate {
  double step_seconds = 0, epoch_seconds = 0, peak_bytes = 0;  // an epoch with its validation
  int64_t windows = 0, steps_per_epoch = 0;                    // windows: in the step that was measured
};

Estimate estimate_training(const Config& config, Biaxial& model, const RunData& data, Device device);
Estimate estimate_run(const Config& config, const RunOptions& options);  // with data and a model of its own

void say_estimate(const Estimate& estimate, const Config& config, Device device, Progress& progress);

}  // namespace poph
