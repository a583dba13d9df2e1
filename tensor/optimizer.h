#pragma once
#include "tensor/tensor.h"

// Optimiser steps (optimizer.cu), in place on one parameter, its moments and its mean, none of which is bf16. A step's
// numbers lie in a tensor on the parameter's device and are read when the update runs: a replayed graph reads new
// numbers each time.
namespace poph {

struct OptimizerStep {
  double beta1, beta2, epsilon, decay;    // decay: decoupled weight decay times the learning rate (AdamW)
  double gradient_factor, moment_factor;  // multiply g and m in the update, bias corrections included
  double second_correction;               // 1 / (1 - beta2^t)
  double learning_rate;                   // of sgd_update
  double mean_rate = 0;                   // of average_update: the share of the way that the mean goes
  double gradient_scale = 1;              // from clip; 1 changes nothing
  double apply = 1;                       // 0: the update changes nothing

  static constexpr int64_t count = 11;
  void write(Tensor& to) const;  // f64 [count] on the CPU
  Tensor on(Device device) const;
};
// `decays`: the parameter shrinks by the step's decay.
void adam_update(Tensor& parameter, Tensor& moment, Tensor& second_moment, const Tensor& gradient, const Tensor& step,
                 bool decays);
void sgd_update(Tensor& parameter, const Tensor& gradient, const Tensor& step);
void average_update(Tensor& mean, const Tensor& parameter, const Tensor& step);  // after the parameter's own update

Tensor sums_of_squares(const Tensors& all);  // of each, in a fixed order: f64 [n]; 0 for one that is undefined

// Writes the step's gradient_scale: min(1, max_norm / sqrt(sum of squares [n])).
void clip(Tensor& step, const Tensor& squares, double max_norm);

// Sets the step's `apply` to 0 and `halted` (f64 []) to 1 where a loss (f32) or a square (f64) is NaN or infinite, or
// `halted` is not 0 already. A square that is too large for float32 moments, in the step's scale, becomes infinite.
void skip_update_if_not_finite(Tensor& step, Tensor& halted, const Tensor& losses, Tensor& squares);

// to = from, unless `halted` (f64 []) is not 0. f32, f64 or bf16.
void replace_unless(const Tensor& halted, const Tensor& to, const Tensor& from);

}  // namespace poph
