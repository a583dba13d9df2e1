#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "nn/losses.h"
#include "tests/support.h"

// Tiny models of every kind, with weights that make each part matter, and random music for them.
namespace poph::test {

// Tiny models are quicker on one thread, much so on a busy machine. A fixture for the suites below, which ask for two where it
// matters.
struct OneThread {
  const Threads one_thread{1};
};

inline BlockSettings lstm_block(BlockKind kind, int64_t layers = 1, int64_t units = 3) {
  return {.kind = kind, .layers = layers, .units = units};
}
inline BlockSettings attention_block(BlockKind kind, Mask mask = Mask::automatic) {
  return {.kind = kind, .heads = 2, .head_dim = 2, .dropout = 0.2, .mask = mask};
}
inline ModelSettings tiny_settings(std::vector<BlockSettings> blocks, int64_t notes = 5, int64_t channels = 3) {
  return {.octave_units = 2,
          .input_dropout = 0.2,
          .dropout = 0.3,
          .blocks = std::move(blocks),
          .lowest_note = 58,
          .notes = notes,
          .channels = channels};
}

// Random values for every parameter: biases and gains too, which start as constants. Large where what comes in is small, so that
// everything counts. The feed-forward's first layer is kept away from the kinks of its relu, where a slope has no meaning.
inline void scramble(Biaxial& model, uint32_t site = 500, double size = 0.5);

template <class Layer>
void scramble_parameters(Layer& layer, uint32_t site, double size) {
  layer.each_parameter([&](const std::string& name, Var& parameter) {
    const Dtype dtype = parameter.value().dtype();
    std::vector<double> values = random_input(parameter.shape(), site++).values();
    const bool hidden = name.find("feed_forward.0.") != std::string::npos, bias = name.ends_with("bias");
    const bool gain = name.find("norm") != std::string::npos && !bias;
    const bool large = name.find("query.") != std::string::npos || name.find("key.") != std::string::npos ||
                       name.find("weight_ih") != std::string::npos;
    for (double& value : values)
      value = hidden ? (bias ? (value < 0 ? -3 : 3) : 0.05 * value)
                     : (gain ? 1 : 0) + (large ? 2 / std::sqrt(parameter.shape().last()) : size) * value;
    parameter.value() = Tensor::from(values, parameter.shape(), dtype);
  });
}
inline void scramble(Biaxial& model, uint32_t site, double size) { scramble_parameters(model, site, size); }

inline Vars parameters_of(Biaxial& model) {
  Vars all;
  model.each_parameter([&](const std::string&, Var& parameter) { all.push_back(parameter); });
  return all;
}

// Input and target have nothing to do with each other: a test sees what comes from which. Plays are 0 or 1, volumes in between.
struct Music {
  Tensor input, target, beat;
};
inline Tensor random_roll(Shape shape, uint32_t site, Dtype dtype) {
  std::vector<double> values = random_input(shape, site).values();
  const int64_t channels = shape.last();
  for (size_t i = 0; i < values.size(); i += channels) {
    values[i] = values[i] > 0;
    if (channels > 1) {
      values[i + 1] = values[i] && values[i + 1] > 0;
      values[i + 2] = values[i] ? 0.5 + 0.4 * std::tanh(values[i + 2]) : 0;
    }
  }
  return Tensor::from(values, shape, dtype);
}
inline Music random_music(const ModelSettings& model, int64_t steps, int64_t batch, Dtype dtype = Dtype::f64,
                          uint32_t site = 700) {
  std::vector<double> beat(steps * batch * 16);
  for (int64_t i = 0; i < steps * batch; ++i) beat[i * 16 + i * 7 % 16] = 1;
  const Shape shape{steps, batch, model.notes, model.channels};
  return {random_roll(shape, site, dtype), random_roll(shape, site + 1, dtype), Tensor::from(beat, {steps, batch, 16}, dtype)};
}

struct TinyModel {
  std::string name;
  ModelSettings settings;
  bool conditioned, autoregressive;  // what SPEC 5 says
};
inline std::ostream& operator<<(std::ostream& out, const TinyModel& model) { return out << model.name; }

inline std::vector<TinyModel> tiny_models() {
  using enum BlockKind;
  const BlockSettings along_time = lstm_block(lstm_time, 2), along_notes = lstm_block(lstm_notes, 2),
                      sa = attention_block(attention_notes), sa2d = attention_block(attention_time_notes),
                      open = attention_block(attention_notes, Mask::none),
                      open2d = attention_block(attention_time_notes, Mask::none);
  const BlockSettings one_layer = lstm_block(lstm_time), one_layer_of_notes = lstm_block(lstm_notes);
  BlockSettings pre = sa, bare = sa;
  pre.norm = Norm::pre;
  bare.norm = Norm::none;
  bare.residual = bare.feed_forward = bare.scale = false;
  bare.query_gate = true;
  const auto ascending = [](ModelSettings settings) {
    settings.descending = false;
    return settings;
  };
  const auto alone = [](ModelSettings settings) {
    settings.condition = false;
    return settings;
  };
  const std::vector<BlockSettings> baseline{along_time, along_notes};
  return {
      {"lstm_lstm", tiny_settings(baseline), true, true},
      {"sa_lstm_lstm", tiny_settings({sa, along_time, along_notes}), true, true},
      {"lstm_lstm_sa", tiny_settings({along_time, along_notes, sa}), true, true},
      {"sa_lstm_lstm_sa", tiny_settings({sa, along_time, along_notes, sa}), true, true},
      {"sa_lstm_sa", tiny_settings({sa, along_time, sa}), true, true},
      {"sa2d_lstm_lstm", tiny_settings({sa2d, along_time, along_notes}), true, true},
      {"leaky", tiny_settings({along_time, along_notes, open}), true, false},
      {"leaky at once", tiny_settings({along_time, open, along_notes}), true, false},
      {"leaky in 2d", tiny_settings({along_time, open2d, along_notes}), true, false},
      {"open before the chosen notes", tiny_settings({open, open2d, along_time, sa}), true, true},
      {"2d attention to chosen notes", tiny_settings({along_time, sa2d, along_notes}), true, true},
      {"time again", tiny_settings({one_layer, one_layer_of_notes, one_layer}), true, true},
      {"time twice, then open", tiny_settings({one_layer, one_layer, open2d}), true, false},
      {"2d attention, then time", tiny_settings({one_layer, sa2d, one_layer, sa}), true, true},
      {"no condition", alone(tiny_settings({along_time, along_notes, sa2d})), false, true},
      {"no condition, open", alone(tiny_settings({sa, along_time, open})), false, true},
      {"no lstm_time", tiny_settings({sa, along_notes, sa2d}), false, true},
      {"nothing after lstm_time", tiny_settings({sa, along_time}), false, true},
      {"play only", tiny_settings({sa, along_time, along_notes}, 5, 1), true, true},
      {"14 notes, ascending", ascending(tiny_settings({sa, along_time, along_notes, sa}, 14)), true, true},
      {"ascending, leaky", ascending(tiny_settings({along_time, along_notes, open})), true, false},
      {"pre-norm and bare attention", tiny_settings({pre, along_time, bare, pre}), true, true},
      {"one note", tiny_settings({sa, along_time, along_notes, sa}, 1), true, true},
  };
}

}  // namespace poph::test
