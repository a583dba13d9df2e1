#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batches.h"
#include "data/measures/key_counts.h"
#include "experiments/config/config.h"
#include "experiments/media/event_file.h"
#include "experiments/train/divergence.h"
#include "experiments/train/evaluator.h"
#include "experiments/train/metrics.h"
#include "experiments/train/training_state.h"
#include "experiments/train/training_step.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/run_folder.h"

// Trains a model (MODEL.md "Optimisers"): epochs over batches of windows or lanes, each followed by a validation, a
// line in every log and checkpoints; early stopping; and going on from a checkpoint to the same numbers. With
// train.average it is the mean of the weights that is validated and that the checkpoints hold for composing.
//
// In the run's folder it writes metrics.jsonl (metrics.h), the event file (event_file.h) and checkpoints/best and last
// (training_state.h). What a checkpoint stands for is on the disk before it.
namespace poph {

struct TrainLimits {                                                  // for --smoke
  int64_t batches = 0, validation_windows = 0, validation_steps = 0;  // 0: all
};

enum class TrainEnd { finished, interrupted };

class Trainer {
 public:
  // All but the limits must outlive this.
  Trainer(const Config& config, Biaxial& model, const Windows& train, const Windows& valid, TrainLimits limits = {});

  // Trains until complete() or a stop is requested. NotFiniteError: the training diverged, or train.on_nan = "stop" met
  // a bad batch.
  TrainEnd run(const RunFolder& folder, Progress& progress);

  bool complete() const;  // all epochs are done, or patience is lost
  const TrainingState& state() const { return state_; }
  bool resume(const RunFolder& folder, Progress& progress);  // from checkpoints/last; false: there is none

  Biaxial& judged_model();  // what is validated and composes: the model, or one of the means of its weights

  LossValues train_step(int64_t batch, int64_t epoch);  // one update; the losses before it
  const Batches& batches() const { return *batches_; }
  int64_t batches_per_epoch() const;

 private:
  // An epoch that has ended.
  struct Epoch {
    LossValues train;
    std::optional<LossValues> valid;  // absent without validation windows
    EpochNumbers numbers;
    bool best = false;  // so far
  };

  // False: interrupted.
  bool train_epoch(const RunFolder& folder, Progress& progress);
  bool end_epoch(const RunFolder& folder, Progress& progress);
  bool validate(std::optional<LossValues>& losses);

  Epoch close_epoch(const std::optional<LossValues>& valid);
  bool judge_epoch(double monitored);  // true: the best so far
  void log_epoch(const Epoch& epoch, const RunFolder& folder);
  std::string epoch_text(const Epoch& epoch) const;

  void start_step(int64_t batch, int64_t epoch);
  TrainingStep::Result finish_step();  // the oldest in flight
  void count_step(const TrainingStep::Result& result);
  void handle_not_finite(const TrainingStep::Result& result, int64_t batch);
  std::string where_validation_fails();
  void require_finite_weights();
  void save(const RunFolder& folder, const std::string& name);
  double learning_rate(int64_t step) const;
  void log_losses(const std::string& group, const LossValues& losses);
  void show_progress(Progress& progress, const LossValues& losses, double per_second) const;

  const Config& config_;
  Biaxial& model_;
  const Windows& valid_;
  const std::unique_ptr<const Batches> batches_;
  TrainLimits limits_;
  LossFunction loss_;
  const std::optional<KeyCounts> key_counts_;  // of the training pieces, for the checkpoints
  Optimizer optimizer_;
  std::optional<Biaxial> averaged_;  // its parameters are the optimiser's means
  TrainingStep step_;
  TrainingState state_;
  std::deque<int64_t> started_;  // the batches of the steps in flight
  StepHistory history_;
  const RunFolder* folder_ = nullptr;  // while it runs
  Progress* progress_ = nullptr;       // while it runs
  std::optional<EventFile> events_;    // while it runs, where train.tensorboard is on
  std::vector<int64_t> valid_which_;   // the windows that are validated
};

}  // namespace poph
