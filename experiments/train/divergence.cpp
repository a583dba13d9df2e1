#include "experiments/train/divergence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace poph {
namespace {

constexpr double out_of_proportion = 10;
// With three such steps in a row it is no longer one bad batch; with ten nothing is learnt any more, and the run ends.
constexpr int64_t divergence_in_a_row = 3, max_skipped_in_a_row = 10;

std::vector<std::string> not_finite_names(Biaxial& model, const std::vector<double>& squares) {
  std::vector<std::string> names;
  size_t next = 0;
  for (const auto& [name, tensor] : model.parameter_tensors())
    if (!std::isfinite(squares[next++])) names.push_back(name);
  return names;
}

std::string name_and_others(const std::string& name, size_t count) {
  return count > 1 ? fmt::format("{} and of {} other{}", name, count - 1, count == 2 ? "" : "s") : name;
}

// "blocks.1.layers.0" of "blocks.1.layers.0.weight_hh"
std::string layer_of(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

}  // namespace

void StepHistory::start(double weight_norm) {
  norms_.clear();
  losses_.clear();
  first_weight_norm_ = weight_norm_ = weight_norm;
}

void StepHistory::add(const TrainingStep::Result& applied) {
  weight_norm_ = std::sqrt(std::accumulate(applied.weight_squares.begin(), applied.weight_squares.end(), 0.0));
  norms_.push_back(applied.gradient_norm());
  losses_.push_back(applied.losses.total());
  for (auto* values : {&norms_, &losses_})
    if (values->size() > max_steps) values->pop_front();
}

double StepHistory::median(const std::deque<double>& values) {
  std::vector<double> sorted(values.begin(), values.end());
  if (sorted.empty()) return 0;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

bool StepHistory::outgrows_median(const std::deque<double>& values) {
  const auto latest = static_cast<std::ptrdiff_t>(std::min(latest_steps, values.size()));
  return latest > 0 && *std::max_element(values.end() - latest, values.end()) > out_of_proportion * median(values);
}

bool StepHistory::grows() const {
  return outgrows_median(norms_) || outgrows_median(losses_) ||
         !(weight_norm_ <= out_of_proportion * first_weight_norm_);
}

std::string StepHistory::text() const {
  return fmt::format(
      "before it the gradient norm was {:.3g} (median {:.3g}), the loss {:.3g} (median {:.3g}), the weight norm {:.3g} "
      "({:.3g} at the start)",
      gradient_norm(), median_gradient_norm(), loss(), median_loss(), weight_norm_, first_weight_norm_);
}

std::string first_not_finite_layer(const Biaxial& model, const Batch& batch, ForwardContext context) {
  const NoGrad no_grad;
  std::string first;
  context.observer = [&](const std::string& layer, const Var& output) {
    if (first.empty() && count_nonfinite(output.value()) > 0) first = layer;
  };
  model(batch.to(model.device()), context);
  return first;
}

NotFiniteCause find_cause(const TrainingStep::Result& result, Biaxial& model, const Batch& batch,
                          const ForwardContext& context) {
  NotFiniteCause cause;
  cause.part = result.losses.not_finite();
  if (!result.applied()) cause.layer = first_not_finite_layer(model, batch, context);
  cause.in_output = !cause.layer.empty();
  if (!cause.part.empty()) {
    cause.what = "the " + cause.part + " loss";
    return cause;
  }
  // The backward pass goes from the heads to the front: where the outputs are finite, the last parameter was the first
  // to get such a gradient.
  cause.parameters = not_finite_names(model, result.gradient_squares);
  if (!cause.parameters.empty()) {
    if (!cause.in_output) cause.layer = layer_of(cause.parameters.back());
    cause.what = "the gradient of " + name_and_others(cause.parameters.back(), cause.parameters.size());
    return cause;
  }
  cause.parameters = not_finite_names(model, result.weight_squares);
  if (!cause.parameters.empty()) {
    cause.layer = layer_of(cause.parameters.front());
    cause.what = "the weight of " + name_and_others(cause.parameters.front(), cause.parameters.size()) +
                 ", as its update left it,";
  }
  return cause;
}

void NotFinite::judge(const StepHistory& before, int64_t in_a_row, bool may_skip) {
  diverged = weights_lost || before.grows() || in_a_row >= divergence_in_a_row;
  skip = may_skip && !weights_lost && in_a_row < max_skipped_in_a_row;
}

std::string not_finite_text(const NotFinite& found, const StepHistory& before, int64_t step, int64_t epoch,
                            int64_t in_a_row) {
  const NotFiniteCause& cause = found.cause;
  std::string text = fmt::format("{}: {} of step {} (epoch {}) is not a finite number",
                                 found.diverged ? "training diverged" : "a bad batch", cause.what, step, epoch);
  if (cause.in_output)
    text += "; the first such output is that of " + cause.layer;
  else if (!found.weights_lost)
    text += "; all layers' outputs are";
  text += "; " + before.text();
  if (in_a_row > 1) text += fmt::format("; {} steps in a row", in_a_row);
  if (found.diverged) return text;
  const BatchPlace& first = found.batch.front();
  const size_t others = found.batch.size() - 1;
  return text + fmt::format("; its batch: {} {} of {} from step {}{}", first.what, first.number, first.piece,
                            first.first_step, others > 0 ? fmt::format(" and {} more", others) : "");
}

}  // namespace poph
