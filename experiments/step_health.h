#pragma once
#include <deque>
#include <string>
#include <vector>

#include "experiments/evaluator.h"
#include "experiments/step.h"

// A loss, a gradient or a weight that is NaN or infinite: where it came up, and whether one batch or the training is to blame.
namespace poph {

struct NotFiniteError : Error {  // the last good checkpoint is still in place
  using Error::Error;
};

// The steps before, in short. A training that diverges shows in them: gradients, losses or weights that grow out of all
// proportion. A batch that is bad alone comes out of steps that were as ever.
class StepHistory {
 public:
  void begin(double weight_norm);  // of a sitting
  void add(const TrainingStep::Result& applied);

  bool grows() const;  // the latest gradient norm, loss or weight norm is over 10 times what was usual
  double gradient_norm() const { return norms_.empty() ? 0 : norms_.back(); }
  double usual_gradient_norm() const { return median(norms_); }
  double loss() const { return losses_.empty() ? 0 : losses_.back(); }
  double usual_loss() const { return median(losses_); }
  double weight_norm() const { return weight_norm_; }
  std::string text() const;  // "gradient norm before 0.81 (median 0.79), loss 0.12 (median 0.12), weight norm 31.2 (31.0 at the start)"

 private:
  static constexpr size_t most = 100, latest = 3;  // steps looked back on, and how many of them count as now
  static double median(const std::deque<double>& values);
  static bool grown(const std::deque<double>& values);

  std::deque<double> norms_, losses_;
  double first_weight_norm_ = 0, weight_norm_ = 0;
};

struct Fault {
  std::string what;                // "the play loss", "the gradient of blocks.0.query.weight and of 12 others"
  std::string part;                // of the losses: "play"; empty where they are finite
  std::string layer;               // the first whose output, or else the last whose gradient or the first whose weight, is not finite
  bool in_output = false;          // which of these
  std::vector<std::string> names;  // of the gradients or weights that are not finite
};

// Of a step that was not applied (its forward pass is done once more, observed), or whose update ruined weights; `what` is empty where
// all is well. The batch is the step's, and the weights must still be those it ran with.
Fault fault_of(const TrainingStep::Result& result, Biaxial& model, const Batch& batch, const Pass& as);

// The first layer whose output is not finite; empty when none is.
std::string first_not_finite_layer(const Biaxial& model, const Batch& batch, Pass pass);

}  // namespace poph
