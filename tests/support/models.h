#pragma once
#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "nn/losses.h"
#include "tests/support/support.h"

// Tiny models of every kind, with weights that make each part count, and random music for them.
namespace poph::test {

// A fixture for suites of tiny models, which are faster on one thread, much so on a busy machine. Cases that are about
// threads ask for two.
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
          .relative_classes = false,
          .match = false,
          .blocks = std::move(blocks),
          .lowest_note = 58,
          .notes = notes,
          .channels = channels};
}

// Random values for every parameter, biases and gains too, which start as constants. They are so large that everything
// counts: weights by the number of their inputs, and gains vary around the 1 that they start from.
template <class Layer>
void scramble_parameters(Layer& layer, uint32_t site) {
  layer.each_parameter([&](const std::string&, Var& parameter) {
    const std::vector<double> start = parameter.value().values();
    const bool gain = std::all_of(start.begin(), start.end(), [](double value) { return value == 1; });
    const Shape& shape = parameter.shape();
    const double factor = shape.rank() > 1 ? 1.5 / std::sqrt(static_cast<double>(shape.elements() / shape[0])) : 0.5;
    std::vector<double> values = random_input(shape, site++).values();
    for (double& value : values) value = (gain ? 1 : 0) + factor * value;
    parameter.value() = Tensor::from(values, shape, parameter.value().dtype());
  });
}
inline void scramble(Biaxial& model, uint32_t site = 500) { scramble_parameters(model, site); }
inline Biaxial made(const ModelSettings& settings, Dtype dtype = Dtype::f64) {
  Biaxial model(settings, 3, dtype, Device::cpu);
  scramble(model);
  return model;
}

inline Vars parameters_of(Biaxial& model) {
  Vars all;
  model.each_parameter([&](const std::string&, Var& parameter) { all.push_back(parameter); });
  return all;
}

// Shares of the model's styles, another mixture for each number; empty for a model without styles.
inline std::vector<double> some_mixture(const ModelSettings& model, uint32_t number = 0) {
  if (model.styles == 0) return {};
  std::vector<double> shares = random_input({model.styles}, 870 + number).values();
  double sum = 0;
  for (double& share : shares) sum += share = std::abs(share);
  for (double& share : shares) share /= sum;
  return shares;
}
// 1 for one style and 0 for all others.
inline std::vector<double> one_style(const ModelSettings& model, int64_t which) {
  std::vector<double> shares(model.styles, 0.0);
  if (model.styles > 0) shares[which % model.styles] = 1;
  return shares;
}

// Input and target are independent, so that a test sees which one an output depends on. Plays are 0 or 1, volumes lie
// between.
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
inline Batch random_music(const ModelSettings& model, int64_t steps, int64_t batch, Dtype dtype = Dtype::f64,
                          uint32_t site = 700) {
  std::vector<double> beat(steps * batch * 16);
  for (int64_t i = 0; i < steps * batch; ++i) beat[i * 16 + i * 7 % 16] = 1;
  const Shape shape{steps, batch, model.notes, model.channels};
  Batch music{random_roll(shape, site, dtype), random_roll(shape, site + 1, dtype),
              Tensor::from(beat, {steps, batch, 16}, dtype)};
  if (model.match) music.match = random_input({steps, batch, model.notes, model.match_width()}, site + 2, dtype);
  if (model.styles) {
    std::vector<double> shares;
    for (int64_t i = 0; i < steps * batch; ++i) {
      const std::vector<double> mixture = some_mixture(model, static_cast<uint32_t>(i));
      shares.insert(shares.end(), mixture.begin(), mixture.end());
    }
    music.style = Tensor::from(shares, {steps, batch, model.styles}, dtype);
  }
  return music;
}

struct TinyModel {
  std::string name;
  ModelSettings settings;
  bool conditioned, autoregressive;  // as MODEL.md "Orderings" says
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
  const auto relative = [](ModelSettings settings) {
    settings.relative_classes = true;
    return settings;
  };
  const auto match = [](ModelSettings settings) {
    settings.match = true;
    settings.match_dropout = 0.4;
    return settings;
  };
  const auto styled = [](ModelSettings settings) {
    settings.styles = 3;
    settings.style_units = 4;
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
      {"relative classes", relative(tiny_settings({sa, along_time, along_notes}, 14)), true, true},
      {"play only", tiny_settings({sa, along_time, along_notes}, 5, 1), true, true},
      {"14 notes, ascending", ascending(tiny_settings({sa, along_time, along_notes, sa}, 14)), true, true},
      {"ascending, leaky", ascending(tiny_settings({along_time, along_notes, open})), true, false},
      {"pre-norm and bare attention", tiny_settings({pre, along_time, bare, pre}), true, true},
      {"one note", tiny_settings({sa, along_time, along_notes, sa}, 1), true, true},
      {"match", match(tiny_settings({sa, along_time, along_notes})), true, true},
      {"match, no condition", match(alone(tiny_settings({along_time, along_notes}))), false, true},
      {"match, play only, ascending", match(ascending(tiny_settings({one_layer, sa2d, one_layer_of_notes}, 5, 1))),
       true, true},
      {"styles", styled(tiny_settings({sa, along_time, along_notes})), true, true},
      {"styles, notes first, ascending",
       styled(ascending(tiny_settings({one_layer_of_notes, one_layer, one_layer_of_notes, one_layer}))), true, true},
      {"styles, match, no condition", styled(match(alone(tiny_settings({along_time, along_notes})))), false, true},
      {"styles, leaky, play only", styled(tiny_settings({one_layer, one_layer_of_notes, open}, 5, 1)), true, false},
      {"styles, match, play only", styled(match(tiny_settings({one_layer, sa, one_layer_of_notes}, 5, 1))), true, true},
  };
}

// Those without, each with match features.
inline std::vector<TinyModel> tiny_models_with_match() {
  std::vector<TinyModel> models = tiny_models();
  std::erase_if(models, [](const TinyModel& tiny) { return tiny.settings.match; });
  for (TinyModel& tiny : models) tiny.settings.match = true, tiny.name += ", match";
  return models;
}

}  // namespace poph::test
