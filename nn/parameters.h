#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/functions.h"

// A layer is a plain struct with operator() and each_parameter(f). That one list of names counts, saves, loads and
// optimises the parameters.
namespace poph {

using ParameterFn = std::function<void(const std::string& name, Var& parameter)>;

inline ParameterFn prefixed(const std::string& prefix, const ParameterFn& f) {
  return [prefix, &f](const std::string& name, Var& parameter) { f(prefix + name, parameter); };
}

// One forward pass of a model: whether dropout is on, where its random numbers come from (MODEL.md "Random numbers"),
// and who watches the layers' outputs. Dropouts are numbered in the order of the calls.
struct ForwardContext {
  bool training = false;
  uint64_t seed = 0;
  uint32_t step = 0;
  uint32_t next_site = 0;
  uint32_t stream = 0;                // of the random numbers: the shard
  const uint32_t* step_at = nullptr;  // in place of `step`, on the model's device: RandomKey::step_at
  std::function<void(const std::string& layer, const Var& output)> observer =
      nullptr;             // called with each layer's output
  std::string scope = {};  // of the block that runs, a prefix of the observed names: "blocks.1."

  Tensor begins = {};  // Batch::begins of what is read
  Var style = {};      // of each step that is read: [T,B,style_units]; undefined in a model without styles
  // The states of the layers along time, in the order of the calls: read where a piece goes on from before the batch,
  // and replaced by those after its last step. nullptr: all begin from zero, and none is kept.
  std::vector<LstmState>* states = nullptr;
  size_t next_state = 0;
  LstmState* next_layer_state() {
    if (!states) return nullptr;
    if (next_state == states->size()) states->emplace_back();
    return &(*states)[next_state++];
  }

  void observe(const std::string& layer, const Var& output) const {
    if (observer) observer(scope + layer, output);
  }
  RandomKey next_key() { return {seed, next_site++, step, RandomUse::dropout, step_at, stream}; }
  Var dropout(const Var& x, double probability) {
    const RandomKey key = next_key();
    return training ? poph::dropout(x, probability, key) : x;
  }
  Tensor dropout(const Tensor& x, double probability) {
    const RandomKey key = next_key();
    return training ? poph::dropout(x, probability, key) : x;
  }
  // For an op that applies dropout itself, as it writes its result.
  OutputDropout output_dropout(double probability) {
    const RandomKey key = next_key();
    return {training ? probability : 0, key};
  }
};

}  // namespace poph
