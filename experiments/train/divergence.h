#pragma once
#include <deque>
#include <string>
#include <vector>

#include "data/batches.h"
#include "experiments/train/evaluator.h"
#include "experiments/train/training_step.h"

// A loss, a gradient or a weight that is NaN or infinite: where it came from, and whether one bad batch or the training
// as a whole is to blame.
namespace poph {

// Ends a run. The last good checkpoint is still in place.
struct NotFiniteError : Error {
  NotFiniteError(bool training_diverged, const std::string& message) : Error(message), diverged(training_diverged) {}
  bool diverged;  // false: one bad batch, where train.on_nan says "stop"
};

// The latest steps that were finite. A training that diverges shows in them: gradients, losses or weights that grow out
// of all proportion. A bad batch comes after steps like all the others.
class StepHistory {
 public:
  void start(double weight_norm);  // of a session
  void add(const TrainingStep::Result& applied);

  // Whether one of the latest three gradient norms or losses is over 10 times the median, or the weight norm over 10
  // times that at the start.
  bool grows() const;
  double gradient_norm() const { return norms_.empty() ? 0 : norms_.back(); }
  double median_gradient_norm() const { return median(norms_); }
  double loss() const { return losses_.empty() ? 0 : losses_.back(); }
  double median_loss() const { return median(losses_); }
  double weight_norm() const { return weight_norm_; }
  // "before it the gradient norm was 0.81 (median 0.79), the loss 0.12 (median 0.12), the weight norm 31.2 (31 at the
  // start)"
  std::string text() const;

 private:
  static constexpr size_t max_steps = 100, latest_steps = 3;
  static double median(const std::deque<double>& values);
  static bool outgrows_median(const std::deque<double>& values);

  std::deque<double> norms_, losses_;
  double first_weight_norm_ = 0, weight_norm_ = 0;
};

// Where the first number that is not finite came from.
struct NotFiniteCause {
  std::string what;  // "the play loss", "the gradient of blocks.0.query.weight and of 12 others"; empty: all is finite
  std::string part;  // of the loss: "play"; empty where the losses are finite
  // the first layer whose output is not finite, or else the last whose gradient or the first whose weight is not
  std::string layer;
  bool in_output = false;               // `layer` is such a layer
  std::vector<std::string> parameters;  // whose gradients or weights are not finite
};

// Of a step that was not applied, whose forward pass is done once more and observed, or whose update made weights not
// finite. `batch` is the step's, and the weights must still be those it ran with.
NotFiniteCause find_cause(const TrainingStep::Result& result, Biaxial& model, const Batch& batch,
                          const ForwardContext& context);

// The first layer whose output is not finite; empty when there is none.
std::string first_not_finite_layer(const Biaxial& model, const Batch& batch, ForwardContext context);

// A step that was not finite, and what is to be done about it.
struct NotFinite {
  NotFiniteCause cause;
  bool weights_lost = false;  // the update was applied and made weights not finite: it cannot be skipped
  bool diverged = false;      // the training, as far as the steps before tell
  bool skip = false;          // go on without this step; else the run ends
  std::vector<BatchPlace> batch;

  // Sets `diverged` and `skip`. `in_a_row`: such steps one after the other, this one included.
  void judge(const StepHistory& before, int64_t in_a_row, bool may_skip);
};

// "training diverged: the play loss of step 3 (epoch 1) is not a finite number; .." or "a bad batch: ..".
std::string not_finite_text(const NotFinite& found, const StepHistory& before, int64_t step, int64_t epoch,
                            int64_t in_a_row);

}  // namespace poph
