#pragma once
#include <cmath>
#include <vector>

#include "tests/support/models.h"

// Models that compose lively music of many notes.
namespace poph::test {

// A model whose logits are spread around 0, so widely that what is given later says much about what came before.
inline Biaxial lively_model(const ModelSettings& settings) {
  Biaxial model(settings, 3, Dtype::f64, Device::cpu);
  scramble(model);
  ForwardContext evaluation;
  const NoGrad no_grad;
  const Tensor logits = model(random_music(settings, 3, 64), evaluation).notes.value();
  const int64_t outputs = logits.shape().last(), count = logits.elements() / outputs;
  std::vector<double> mean(outputs), square(outputs), weight = model.note_head.weight.value().values(),
                                                      bias = model.note_head.bias.value().values();
  for (size_t i = 0; const double logit : logits.values()) {
    mean[i % outputs] += logit / static_cast<double>(count);
    square[i++ % outputs] += logit * logit / static_cast<double>(count);
  }
  const size_t width = weight.size() / outputs;
  for (int64_t o = 0; o < outputs; ++o) {
    const double factor = 1.2 / std::sqrt(square[o] - mean[o] * mean[o]);
    for (size_t i = 0; i < width; ++i) weight[o * width + i] *= factor;
    bias[o] = factor * (bias[o] - mean[o]);
  }
  model.note_head.weight.value() = Tensor::from(weight, model.note_head.weight.shape(), Dtype::f64);
  model.note_head.bias.value() = Tensor::from(bias, model.note_head.bias.shape(), Dtype::f64);
  return model;
}

inline Biaxial in_float(Biaxial& model) {
  Biaxial copy(model.settings, 3, Dtype::f32, Device::cpu);
  const Vars from = parameters_of(model), to = parameters_of(copy);
  for (size_t i = 0; i < to.size(); ++i) Var(to[i]).value() = from[i].value().to(Dtype::f32);
  return copy;
}

}  // namespace poph::test
