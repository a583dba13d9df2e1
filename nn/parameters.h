#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/functions.h"

// A layer is a plain struct with operator() and each_parameter(f), the one list of its names: it counts, saves, loads and optimises.
namespace poph {

using ParameterFn = std::function<void(const std::string& name, Var& parameter)>;

inline ParameterFn prefixed(const std::string& prefix, const ParameterFn& f) {
  return [prefix, &f](const std::string& name, Var& parameter) { f(prefix + name, parameter); };
}

// One forward pass: whether dropout is on, and where its random numbers come from (SPEC 11). Calls are numbered as they happen.
struct Pass {
  bool training = false;
  uint64_t seed = 0;
  uint32_t step = 0;
  uint32_t next_site = 0;
  const uint32_t* step_at = nullptr;  // on the model's device, as RandomKey has it
  std::function<void(const std::string& layer, const Var& output)> observe = nullptr;  // called as the layers' outputs come
  std::string place = {};             // of the block that runs, for `observe`: "blocks.1."

  void observed(const std::string& layer, const Var& output) const {
    if (observe) observe(place + layer, output);
  }
  RandomKey next_key() { return {seed, next_site++, step, Stream::dropout, step_at}; }
  Var dropout(const Var& x, double probability) {
    const RandomKey key = next_key();
    return training ? poph::dropout(x, probability, key) : x;
  }
  Tensor dropout(const Tensor& x, double probability) {
    const RandomKey key = next_key();
    return training ? poph::dropout(x, probability, key) : x;
  }
  // The same for an op that drops its results as it writes them.
  OutputDropout output_dropout(double probability) {
    const RandomKey key = next_key();
    return {training ? probability : 0, key};
  }
};

}  // namespace poph
