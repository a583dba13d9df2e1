#pragma once
#include <cmath>
#include <map>

#include "nn/parameters.h"
#include "nn/settings.h"

namespace poph {

struct OptimizerCounters {
  int64_t updates = 0;          // steps taken
  double momentum_product = 1;  // Nadam: the product of the momentum schedule so far
};

// SPEC 7. Holds the moments by parameter name.
struct Optimizer : OptimizerCounters {
  OptimizerKind kind = OptimizerKind::nadam;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7, momentum_decay = 0.004, weight_decay = 0.01;
  std::map<std::string, Tensor> moments, second_moments;

  // Makes the moments that are not there yet.
  template <class Model>
  void prepare(Model& model) {
    if (kind == OptimizerKind::sgd) return;
    model.each_parameter([&](const std::string& name, Var& parameter) {
      for (auto* all : {&moments, &second_moments})
        if (Tensor& moment = (*all)[name]; !moment.defined())
          moment = Tensor::zeros(parameter.shape(), parameter.value().dtype(), parameter.value().device());
    });
  }

  // The numbers of the next step, which counts as taken from here on.
  OptimizerStep next_step(double learning_rate) {
    const double t = static_cast<double>(++updates), second_correction = 1 / (1 - std::pow(beta2, t));
    OptimizerStep s{beta1, beta2, epsilon, 0, 0, learning_rate / (1 - std::pow(beta1, t)), second_correction, learning_rate};
    if (kind == OptimizerKind::adamw) s.decay = learning_rate * weight_decay;  // Loshchilov and Hutter 2019
    if (kind == OptimizerKind::nadam) {                                        // Dozat 2016, as torch.optim.NAdam
      const auto momentum = [&](double step) { return beta1 * (1 - 0.5 * std::pow(0.96, step * momentum_decay)); };
      momentum_product *= momentum(t);
      s.gradient_factor = learning_rate * (1 - momentum(t)) / (1 - momentum_product);
      s.moment_factor = learning_rate * momentum(t + 1) / (1 - momentum_product * momentum(t + 1));
    }
    return s;
  }

  // Applies a step, its numbers on the model's device, to every parameter that has a gradient.
  template <class Model>
  void update(Model& model, const Tensor& step) {
    model.each_parameter([&](const std::string& name, Var& parameter) {
      if (!parameter.gradient().defined()) return;
      if (kind == OptimizerKind::sgd) return sgd_update(parameter.value(), parameter.gradient(), step);
      adam_update(parameter.value(), moments.at(name), second_moments.at(name), parameter.gradient(), step);
    });
  }

  // All of it at once, for a single step.
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
void forget_gradients(Model& model) {
  model.each_parameter([](const std::string&, Var& parameter) { parameter.gradient() = Tensor(); });
}

}  // namespace poph
