#pragma once
#include <cmath>
#include <map>

#include "nn/parameters.h"
#include "nn/settings.h"

namespace poph {

// SPEC 7. Holds the moments by parameter name; `updates` counts the steps taken.
struct Optimizer {
  OptimizerKind kind = OptimizerKind::nadam;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, momentum_decay = 0.004, weight_decay = 0.01;
  int64_t updates = 0;
  double momentum_product = 1;  // Nadam: the product of the momentum schedule so far
  std::map<std::string, Tensor> moments, second_moments;

  // One step on every parameter that has a gradient. gradient_scale comes from norm clipping.
  template <class Model>
  void step(Model& model, double learning_rate, double gradient_scale = 1) {
    ++updates;
    const AdamStep adam = next_step(learning_rate, gradient_scale);
    model.each_parameter([&](const std::string& name, Var& parameter) {
      if (!parameter.gradient().defined()) return;
      if (kind == OptimizerKind::sgd) return sgd_update(parameter.value(), parameter.gradient(), learning_rate * gradient_scale);
      adam_update(parameter.value(), moment(moments, name, parameter), moment(second_moments, name, parameter), parameter.gradient(), adam);
    });
  }

 private:
  static Tensor& moment(std::map<std::string, Tensor>& all, const std::string& name, const Var& parameter) {
    Tensor& found = all[name];
    if (!found.defined()) found = Tensor::zeros(parameter.shape(), parameter.value().dtype(), parameter.value().device());
    return found;
  }

  AdamStep next_step(double learning_rate, double gradient_scale) {
    const double t = static_cast<double>(updates), second_correction = 1 / (1 - std::pow(beta2, t));
    AdamStep s{beta1, beta2, epsilon, 0, 0, learning_rate / (1 - std::pow(beta1, t)), second_correction, gradient_scale};
    if (kind == OptimizerKind::adamw) s.decay = learning_rate * weight_decay;  // Loshchilov and Hutter 2019
    if (kind == OptimizerKind::nadam) {                                        // Dozat 2016, as torch.optim.NAdam
      const auto momentum = [&](double step) { return beta1 * (1 - 0.5 * std::pow(0.96, step * momentum_decay)); };
      momentum_product *= momentum(t);
      s.gradient_factor = learning_rate * (1 - momentum(t)) / (1 - momentum_product);
      s.moment_factor = learning_rate * momentum(t + 1) / (1 - momentum_product * momentum(t + 1));
    }
    return s;
  }
};

// The square root of the sum of all squared gradients, in double.
template <class Model>
double gradient_norm(Model& model) {
  double total = 0;
  model.each_parameter([&](const std::string&, Var& parameter) {
    if (parameter.gradient().defined()) total += sum_of_squares(parameter.gradient());
  });
  return std::sqrt(total);
}

}  // namespace poph
