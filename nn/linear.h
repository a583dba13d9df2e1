#pragma once
#include "nn/init.h"
#include "nn/parameters.h"

// The small layers that blocks and models are made of.
namespace poph {

struct Linear {      // (.., in) -> (.., out)
  Var weight, bias;  // [out, in], [out]; bias may be undefined

  static Linear make(Initializer& init, int64_t inputs, int64_t outputs, bool biased) {
    return {init.glorot_uniform({outputs, inputs}), biased ? init.constant({outputs}, 0) : Var()};
  }
  Var operator()(const Var& x, bool wide = false) const { return linear(x, weight, bias, wide); }
  void each_parameter(const ParameterFn& f) {
    f("weight", weight);
    if (bias.defined()) f("bias", bias);
  }
};

struct LayerNorm {   // over the last axis (Ba et al. 2016)
  Var weight, bias;  // [F], [F]

  static LayerNorm make(Initializer& init, int64_t width) {
    return {init.constant({width}, 1), init.constant({width}, 0)};
  }
  Var operator()(const Var& x) const { return layer_norm(x, weight, bias, 1e-5); }
  void each_parameter(const ParameterFn& f) {
    f("weight", weight);
    f("bias", bias);
  }
};

// (.., N, C) -> (.., N, U): along notes, 11 below to 12 above, zero padded (MODEL.md "Note features")
struct OctaveConv {
  static constexpr int64_t kernel = 24, below = 11;
  Var weight, bias;  // [U, C, 24], [U]

  static OctaveConv make(Initializer& init, int64_t channels, int64_t units) {
    return {init.glorot_uniform({units, channels, kernel}, channels * kernel, units * kernel),
            init.constant({units}, 0)};
  }
  Var operator()(const Var& x) const {
    const Shape& shape = weight.shape();
    return linear(unfold_notes(x, kernel, below), reshape(weight, {shape[0], shape[1] * shape[2]}), bias);
  }
  void each_parameter(const ParameterFn& f) {
    f("weight", weight);
    f("bias", bias);
  }
};

}  // namespace poph
