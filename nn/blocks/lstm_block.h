#pragma once
#include <string>
#include <vector>

#include "nn/blocks/columns.h"
#include "nn/blocks/interface.h"
#include "nn/linear.h"
#include "nn/settings.h"
#include "tensor/lstm.h"

// lstm_time and lstm_notes (MODEL.md "Blocks"): layers of LSTM along one axis, dropout after each.
namespace poph {

struct LstmLayer {
  Var weight_ih, weight_hh, bias;  // [4H, I], [4H, H], [4H]; gates i, f, g, o

  static LstmLayer make(Initializer& init, int64_t inputs, int64_t units) {
    return {init.glorot_uniform({4 * units, inputs}), init.orthogonal_gates(4, units), init.lstm_bias(units)};
  }
  // From the state and to it, where there is one.
  Var operator()(const Var& x, SequenceAxis axis, const OutputDropout& dropout = {}, const Tensor& begins = {},
                 LstmState* state = nullptr) const {
    return lstm(x, weight_ih, weight_hh, bias, axis, dropout, {state ? *state : LstmState{}, begins}, state);
  }
  PackedLstm packed() const { return pack_lstm(weight_ih.value(), weight_hh.value(), bias.value()); }
  // Continues from the state and brings it to the end of x. `partial_gates`: see LstmBlock::State.
  Tensor advance(const Tensor& x, SequenceAxis axis, LstmState& state, const PackedLstm& packed,
                 const Tensor& partial_gates) const {
    const LstmResult result =
        lstm(x, weight_ih.value(), weight_hh.value(), bias.value(), axis, {state, {}}, {}, packed, partial_gates);
    state = last_state(result, axis);
    return result.h;
  }
  void each_parameter(const ParameterFn& f) {
    f("weight_ih", weight_ih);
    f("weight_hh", weight_hh);
    f("bias", bias);
  }
};

// What a mixture of styles adds to a layer's inputs, alike for all notes: tanh(weight s + bias) (MODEL.md "Styles").
struct StyleLayer {
  Linear linear;

  static StyleLayer make(Initializer& init, int64_t style_units, int64_t inputs) {
    return {Linear::make(init, style_units, inputs, true)};
  }
  Var operator()(const Var& style) const {  // [T,B,S] -> [T,B,1,I]
    require(style.defined(), "model: no styles are given, expected ", linear.weight.shape()[1], " numbers a step");
    const Var sum = tanh(linear(style));
    return reshape(sum, {sum.shape()[0], sum.shape()[1], 1, sum.shape()[2]});
  }
};

struct LstmBlock {
  struct State {
    std::vector<LstmState> layers;              // after the last time step: rows (b, n); or after the last note: rows b
    std::vector<std::vector<LstmState>> notes;  // along time, the notes of the current step so far: [layer][note]
    // Along notes: the share of the first layer's gate sums that the inputs known for the whole step contribute,
    // [1,B,N,..]. Undefined where advance() takes all inputs of a note.
    Tensor partial_gates;
    Tensors styles;  // what the styles of the coming steps add to each layer's inputs; empty without styles
    std::vector<PackedLstm> packed;  // the layers' weights, packed once for all steps: not part of what a reset clears

    void reset() {
      layers.clear();
      notes.clear();
      partial_gates = Tensor();
    }
    void select(const Columns& columns) {
      for (LstmState& layer : layers) {
        layer.h = select_columns(layer.h, 0, columns);
        layer.c = select_columns(layer.c, 0, columns);
      }
    }
  };

  SequenceAxis axis = SequenceAxis::time;
  double dropout = 0;
  std::vector<LstmLayer> layers;
  std::vector<StyleLayer> styles;  // one before each layer, or none at all

  // style_units: 0 in a model without styles.
  static LstmBlock make(Initializer& init, const BlockSettings& settings, double dropout, int64_t inputs,
                        int64_t style_units) {
    LstmBlock block{settings.kind == BlockKind::lstm_time ? SequenceAxis::time : SequenceAxis::notes, dropout, {}, {}};
    for (int64_t i = 0; i < settings.layers; ++i) {
      block.layers.push_back(LstmLayer::make(init, i ? settings.units : inputs, settings.units));
      if (style_units > 0) block.styles.push_back(StyleLayer::make(init, style_units, i ? settings.units : inputs));
    }
    return block;
  }
  int64_t outputs() const { return layers.back().weight_hh.shape()[1]; }
  bool carries_time() const { return axis == SequenceAxis::time; }

  std::string size_text() const { return joined(layers.size(), " x ", outputs()); }

  Var operator()(Var x, ForwardContext& context) const {
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!styles.empty()) x = add(x, context.dropout(styles[i](context.style), dropout));
      if (axis == SequenceAxis::time)
        x = layers[i](x, axis, context.output_dropout(dropout), context.begins, context.next_layer_state());
      else
        x = layers[i](x, axis, context.output_dropout(dropout));
      context.observe("layers." + std::to_string(i), x);
    }
    return x;
  }

  void use_styles(const Tensor& style, State& state) const {
    state.styles.clear();
    for (const StyleLayer& layer : styles) state.styles.push_back(layer(Var(style)).value());
  }

  // Only along notes, and where the CPU has a kernel for it.
  bool begin_step(const Tensor& known, State& state) const {
    state.partial_gates = Tensor();
    if (axis != SequenceAxis::notes) return false;
    pack(state);
    if (!state.packed[0].panels.defined()) return false;
    const Tensor partial = lstm_partial_gates(styled(known, 0, state, 0), state.packed[0]);
    state.partial_gates = partial.reshape(known.shape().with(-1, partial.shape().last()));
    return true;
  }

  Tensor advance(Tensor x, State& state, int64_t note, int64_t notes) const {
    state.layers.resize(layers.size());
    state.notes.resize(layers.size());
    pack(state);
    for (size_t i = 0; i < layers.size(); ++i) {
      const auto continued = [&](LstmState& from) {
        return layers[i].advance(x, axis, from, state.packed[i], i == 0 ? partial_gates(state, note) : Tensor());
      };
      // The first inputs of a note may be in partial_gates already, with what styles add to them.
      if (!state.styles.empty()) x = styled(x, i, state, state.styles[i].shape().last() - x.shape().last());
      if (axis == SequenceAxis::notes) {
        if (note <= 0) state.layers[i] = {};  // each step starts from zero state
        x = continued(state.layers[i]);
      } else if (note == all_notes) {
        x = continued(state.layers[i]);
      } else {
        LstmState own = of_note(state.layers[i], note, notes);
        x = continued(own);
        state.notes[i].push_back(own);
        if (note + 1 == notes) {
          state.layers[i] = joined_notes(state.notes[i]);
          state.notes[i].clear();
        }
      }
    }
    return x;
  }

  void each_parameter(const ParameterFn& f) {
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string prefix = "layers." + std::to_string(i) + ".";
      layers[i].each_parameter(prefixed(prefix, f));
      if (!styles.empty()) styles[i].linear.each_parameter(prefixed(prefix + "style.", f));
    }
  }

 private:
  // Some of a layer's inputs, from the given one on, with what styles add to them.
  static Tensor styled(const Tensor& x, size_t layer, const State& state, int64_t first) {
    if (state.styles.empty()) return x;
    return add(x, slice_last(state.styles[layer], first, x.shape().last()));
  }
  void pack(State& state) const {
    for (size_t i = state.packed.size(); i < layers.size(); ++i) state.packed.push_back(layers[i].packed());
  }
  static Tensor partial_gates(const State& state, int64_t note) {  // [B, ..]
    if (note == all_notes || !state.partial_gates.defined()) return {};
    const Tensor own = slice(state.partial_gates, 2, note, 1);
    return own.reshape({own.shape()[1], own.shape()[3]});
  }
  static LstmState of_note(const LstmState& all, int64_t note, int64_t notes) {  // rows (b, n) -> rows b
    if (!all.h.defined()) return {};
    const int64_t units = all.h.shape()[1], pieces = all.h.shape()[0] / notes;
    const auto pick = [&](const Tensor& x) {
      return slice(x.reshape({pieces, notes, units}), 1, note, 1).reshape({pieces, units});
    };
    return {pick(all.h), pick(all.c)};
  }
  static LstmState joined_notes(const std::vector<LstmState>& notes) {  // rows b of each note -> rows (b, n)
    Tensors h, c;
    for (const LstmState& note : notes) {
      h.push_back(note.h);
      c.push_back(note.c);
    }
    const Shape shape{notes[0].h.shape()[0] * static_cast<int64_t>(notes.size()), notes[0].h.shape()[1]};
    return {concat_last(h).reshape(shape), concat_last(c).reshape(shape)};
  }
};

}  // namespace poph
