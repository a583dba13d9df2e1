#pragma once
#include "experiments/config.h"
#include "experiments/evaluator.h"
#include "experiments/progress.h"
#include "experiments/run_folder.h"
#include "experiments/step.h"
#include "experiments/step_health.h"
#include "experiments/tensorboard.h"

namespace poph {

// Where a training run stands; with the weights and moments it is all that a resumed run needs to give the same numbers.
struct TrainingState {
  int64_t epoch = 0, batch = 0, step = 0;  // the next batch of this epoch; optimiser steps so far, of which the losses are known
  LossValues train_sum;                    // of this epoch so far, weighted by windows
  int64_t train_windows = 0, train_steps = 0;
  double best = 0;                         // of the monitored loss
  int64_t best_epoch = -1, epochs_without_gain = 0;
  double learning_rate_factor = 1;         // of the plateau schedule
  int64_t skipped = 0, skipped_in_a_row = 0;  // steps that were not finite (train.on_nan)
  double norm_sum = 0, norm_max = 0;       // of this epoch's gradients so far
  double seconds = 0;                      // spent training, over all sittings
};

struct TrainLimits {  // for --smoke
  int64_t batches = 0, validation_windows = 0;  // 0: all
};

enum class TrainEnd { finished, interrupted };

// SPEC 7: epochs over shuffled windows, validation, early stopping, checkpoints.
class Trainer {
 public:
  Trainer(const Config& config, Biaxial& model, const Windows& train, const Windows& valid, TrainLimits limits = {});

  // Goes on from the folder's last checkpoint when there is one. NotFiniteError: a loss, gradient or weight is NaN or infinite; the
  // last good checkpoint is still in place.
  TrainEnd run(const RunFolder& folder, Progress& progress);

  // Whether there is nothing left to do: all epochs done, or patience lost.
  bool complete() const;
  const TrainingState& state() const { return state_; }
  bool resume(const RunFolder& folder, Progress& progress);  // false: there is no checkpoint

  LossValues train_step(std::span<const int64_t> which, int64_t epoch);  // one update; the losses before it
  int64_t batches_per_epoch() const;

 private:
  bool train_epoch(const RunFolder& folder, Progress& progress);
  bool end_epoch(const RunFolder& folder, Progress& progress);
  std::vector<int64_t> shifts_of(std::span<const int64_t> which, int64_t epoch) const;  // of the windows' pitch, in semitones
  void start_step(std::span<const int64_t> which, int64_t epoch);
  void not_finite(const TrainingStep::Result& result, const std::vector<int64_t>& which);
  std::string where_validation_fails() const;
  TrainingStep::Result finish_step();  // of the oldest in flight, which then counts
  void save(const RunFolder& folder, const std::string& name);
  double learning_rate(int64_t step) const;
  void note_event(const std::string& group, const LossValues& losses);
  void say_how_far(Progress& progress, const LossValues& losses, double windows_per_second) const;

  const Config& config_;
  Biaxial& model_;
  const Windows &train_, &valid_;
  TrainLimits limits_;
  LossFunction loss_;
  Optimizer optimizer_;
  TrainingStep step_;
  TrainingState state_;
  std::deque<std::vector<int64_t>> started_;  // the windows of the steps in flight
  StepHistory history_;
  const RunFolder* log_ = nullptr;  // while it runs
  Progress* progress_ = nullptr;
  std::optional<EventFile> events_;  // while it runs, where wanted
  std::vector<int64_t> valid_which_;
};

std::string loss_text(const LossValues& losses);  // "loss 0.1234 (play 0.1, replay 0.01, volume 0.01, harmony 0.2)"

}  // namespace poph
