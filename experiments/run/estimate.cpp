#include "experiments/run/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "data/files/stopwatch.h"
#include "experiments/train/trainer.h"
#include "experiments/workspace/checkpoints.h"

namespace poph {

Estimate estimate_training(const Config& config, Biaxial& model, const RunData& data, Device device) {
  Trainer trainer(config, model, data.train, data.valid);
  // A GPU's second step is slower than all later ones, because it is captured.
  const int before = device == Device::cpu ? 1 : 2;
  for (int i = 0; i < before; ++i) trainer.train_step(0, 0);
  synchronize(device);
  const Stopwatch watch;
  trainer.train_step(0, 0);
  synchronize(device);
  Estimate estimate;
  estimate.step_seconds = watch.seconds();
  estimate.windows = trainer.batches().columns(0);
  estimate.steps_per_epoch = trainer.batches_per_epoch();
  // Without a gradient a window takes about a third of the time.
  const double validation = static_cast<double>(data.valid.count()) / static_cast<double>(data.train.count()) / 3;
  estimate.epoch_seconds = static_cast<double>(estimate.steps_per_epoch) * estimate.step_seconds * (1 + validation);
  estimate.peak_bytes = static_cast<double>(memory_use(device).peak);
  return estimate;
}

Estimate estimate_run(const Config& config, const RunOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  Progress silent(true);
  const RunData data = load_run_data(config, options.threads, silent);
  Biaxial model(config.model, config.seed, Dtype::f32, device);
  return estimate_training(config, model, data, device);
}

void say_estimate(const Estimate& estimate, const Config& config, Device device, Progress& progress) {
  progress.line(fmt::format("memory: {} at most in a step on {}", human_bytes(estimate.peak_bytes),
                            device == Device::cpu ? "the CPU" : "the GPU"));
  progress.line(fmt::format(
      "time: {:.2f} s a step of {} {}, {} steps an epoch; {} for all {} epochs with validation, "
      "composing not counted",
      estimate.step_seconds, estimate.windows, config.data.staggered ? "windows" : "lanes", estimate.steps_per_epoch,
      human_time(static_cast<double>(config.train.epochs) * estimate.epoch_seconds), config.train.epochs));
}

}  // namespace poph
