#include "experiments/step_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace poph {
namespace {

constexpr double out_of_proportion = 10;

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

void StepHistory::begin(double weight_norm) {
  norms_.clear();
  losses_.clear();
  first_weight_norm_ = weight_norm_ = weight_norm;
}

void StepHistory::add(const TrainingStep::Result& applied) {
  weight_norm_ = std::sqrt(std::accumulate(applied.weight_squares.begin(), applied.weight_squares.end(), 0.0));
  norms_.push_back(applied.gradient_norm());
  losses_.push_back(applied.losses.total);
  for (auto* values : {&norms_, &losses_})
    if (values->size() > most) values->pop_front();
}

double StepHistory::median(const std::deque<double>& values) {
  std::vector<double> sorted(values.begin(), values.end());
  if (sorted.empty()) return 0;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

bool StepHistory::grown(const std::deque<double>& values) {
  const size_t now = std::min(latest, values.size());
  return now > 0 && *std::max_element(values.end() - static_cast<std::ptrdiff_t>(now), values.end()) > out_of_proportion * median(values);
}

bool StepHistory::grows() const {
  return grown(norms_) || grown(losses_) || !(weight_norm_ <= out_of_proportion * first_weight_norm_);
}

std::string StepHistory::text() const {
  return fmt::format("before it the gradient norm was {:.3g} (median {:.3g}), the loss {:.3g} (median {:.3g}), the weight norm {:.3g} ({:.3g} at the start)",
                     gradient_norm(), usual_gradient_norm(), loss(), usual_loss(), weight_norm_, first_weight_norm_);
}

std::string first_not_finite_layer(const Biaxial& model, const Batch& batch, Pass pass) {
  const NoGrad no_grad;
  std::string first;
  pass.observe = [&](const std::string& layer, const Var& output) {
    if (first.empty() && count_nonfinite(output.value()) > 0) first = layer;
  };
  const Device device = model.note_head.weight.value().device();
  model(batch.input.to(device), batch.target.to(device), batch.beat.to(device), pass);
  return first;
}

Fault fault_of(const TrainingStep::Result& result, Biaxial& model, const Batch& batch, const Pass& as) {
  Fault fault;
  fault.part = result.losses.not_finite();
  if (!result.applied()) fault.layer = first_not_finite_layer(model, batch, as);
  fault.in_output = !fault.layer.empty();
  if (!fault.part.empty()) {
    fault.what = "the " + fault.part + " loss";
    return fault;
  }
  // Backward goes from the heads to the front: the last parameter is where it went wrong first, if the outputs were well.
  fault.names = not_finite_names(model, result.gradient_squares);
  if (!fault.names.empty()) {
    if (!fault.in_output) fault.layer = layer_of(fault.names.back());
    fault.what = "the gradient of " + name_and_others(fault.names.back(), fault.names.size());
    return fault;
  }
  fault.names = not_finite_names(model, result.weight_squares);
  if (!fault.names.empty()) {
    fault.layer = layer_of(fault.names.front());
    fault.what = "the weight of " + name_and_others(fault.names.front(), fault.names.size()) + ", as its update left it,";
  }
  return fault;
}

}  // namespace poph
