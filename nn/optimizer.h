#pragma once
#include <algorithm>
#include <cmath>
#include <map>

#include "nn/parameters.h"
#include "nn/settings.h"
#include "tensor/optimizer.h"

// The optimisers of MODEL.md "Optimisers". A training step on a GPU is recorded once and replayed, so a step's numbers
// reach the updates as a tensor (OptimizerStep).
namespace poph {

struct OptimizerCounters {
  int64_t updates = 0;          // steps taken
  double momentum_product = 1;  // Nadam: the product of the momentum schedule so far
};

// Holds the moments, and the weights' exponential means where `average` is on, by parameter name.
struct Optimizer : OptimizerCounters {
  OptimizerKind kind = OptimizerKind::nadam;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, momentum_decay = 0.004, weight_decay = 0.01;
  double average = 0;  // the largest share of a mean that stays in a step; 0: there are no means
  std::map<std::string, Tensor> moments, second_moments, averages;

  // Matrices and convolutions alone: neither biases nor the gains of layer norms.
  static bool decays(const Tensor& parameter) { return parameter.shape().rank() > 1; }

  // Makes the missing moments, of zeros, and the missing means, of the weights as they are.
  template <class Model>
  void prepare(Model& model) {
    model.each_parameter([&](const std::string& name, Var& parameter) {
      if (average > 0)
        if (Tensor& mean = averages[name]; !mean.defined()) mean = parameter.value().clone();
      if (kind == OptimizerKind::sgd) return;
      for (auto* all : {&moments, &second_moments})
        if (Tensor& moment = (*all)[name]; !moment.defined())
          moment = Tensor::zeros(parameter.shape(), parameter.value().dtype(), parameter.value().device());
    });
  }

  // Counts the next step and returns its numbers.
  OptimizerStep next_step(double learning_rate) {
    const double before = static_cast<double>(updates), t = static_cast<double>(++updates),
                 second_correction = 1 / (1 - std::pow(beta2, t));
    OptimizerStep s{beta1,        beta2, epsilon, 0, 0, learning_rate / (1 - std::pow(beta1, t)), second_correction,
                    learning_rate};
    if (average > 0) s.mean_rate = 1 - std::min(average, (1 + before) / (10 + before));
    if (kind == OptimizerKind::adamw) s.decay = learning_rate * weight_decay;  // Loshchilov and Hutter 2019
    if (kind == OptimizerKind::nadam) {                                        // Dozat 2016, as torch.optim.NAdam
      const auto momentum = [&](double step) { return beta1 * (1 - 0.5 * std::pow(0.96, step * momentum_decay)); };
      momentum_product *= momentum(t);
      s.gradient_factor = learning_rate * (1 - momentum(t)) / (1 - momentum_product);
      s.moment_factor = learning_rate * momentum(t + 1) / (1 - momentum_product * momentum(t + 1));
    }
    return s;
  }

  // Updates every parameter that has a gradient, then all means. `step` has the numbers on the model's device.
  template <class Model>
  void update(Model& model, const Tensor& step) {
    model.each_parameter([&](const std::string& name, Var& parameter) {
      Tensor& weight = parameter.value();
      if (parameter.gradient().defined()) {
        if (kind == OptimizerKind::sgd)
          sgd_update(weight, parameter.gradient(), step);
        else
          adam_update(weight, moments.at(name), second_moments.at(name), parameter.gradient(), step, decays(weight));
      }
      if (average > 0) average_update(averages.at(name), weight, step);
    });
  }

  // All of the above, for a step by itself.
  template <class Model>
  void step(Model& model, double learning_rate) {
    prepare(model);
    Device device = Device::cpu;
    model.each_parameter([&](const std::string&, Var& parameter) { device = parameter.value().device(); });
    update(model, next_step(learning_rate).on(device));
  }
};

template <class Model>
Tensors gradients_of(Model& model) {  // one for each parameter, undefined where it got none
  Tensors gradients;
  model.each_parameter([&](const std::string&, Var& parameter) { gradients.push_back(parameter.gradient()); });
  return gradients;
}

template <class Model>
void zero_grad(Model& model) {
  model.each_parameter([](const std::string&, Var& parameter) { parameter.gradient() = Tensor(); });
}

}  // namespace poph
