#pragma once
#include <string>
#include <variant>
#include <vector>

#include "nn/linear.h"
#include "nn/settings.h"

// The blocks of SPEC 4: [T,B,N,F] -> [T,B,N,F'], notes in note order. Each has two forms that share weights and arithmetic: the
// whole sequence, and `advance`, which carries a state from call to call and is given either some time steps with all their
// notes, or one note of one time step.
namespace poph {

// What a block has seen so far.
struct BlockState {
  std::vector<LstmState> layers;              // along time: rows (b, n) of the last step; along notes: rows b of the last note
  std::vector<std::vector<LstmState>> notes;  // along time, while a step's notes come one by one: [layer][note]
  Tensor keys, values;                        // [B, positions, heads * width]
  std::vector<LstmPanels> panels;             // of the layers' weights: packed once for all steps

  void forget() {  // all that was seen
    layers.clear();
    notes.clear();
    keys = values = Tensor();
  }
};

constexpr int64_t all_notes = -1;

struct LstmLayer {
  Var weight_ih, weight_hh, bias;  // [4H, I], [4H, H], [4H]; gates i, f, g, o

  static LstmLayer make(Initializer& init, int64_t inputs, int64_t units) {
    return {init.glorot_uniform({4 * units, inputs}), init.orthogonal_gates(4, units), init.lstm_bias(units)};
  }
  Var operator()(const Var& x, SequenceAxis axis, const OutputDropout& dropout = {}) const {
    return lstm(x, weight_ih, weight_hh, bias, axis, dropout);
  }
  LstmPanels panels() const { return lstm_panels(weight_ih.value(), weight_hh.value(), bias.value()); }
  Tensor advance(const Tensor& x, SequenceAxis axis, LstmState& state, const LstmPanels& panels, const Tensor& begun) const {
    const LstmResult result = lstm(x, weight_ih.value(), weight_hh.value(), bias.value(), axis, state, {}, panels, begun);
    state = last_state(result, axis);
    return result.h;
  }
  void each_parameter(const ParameterFn& f) {
    f("weight_ih", weight_ih);
    f("weight_hh", weight_hh);
    f("bias", bias);
  }
};

struct LstmBlock {
  SequenceAxis axis = SequenceAxis::time;
  double dropout = 0;
  std::vector<LstmLayer> layers;

  static LstmBlock make(Initializer& init, const BlockSettings& settings, double dropout, int64_t inputs) {
    LstmBlock block{settings.kind == BlockKind::lstm_time ? SequenceAxis::time : SequenceAxis::notes, dropout, {}};
    for (int64_t i = 0; i < settings.layers; ++i)
      block.layers.push_back(LstmLayer::make(init, i ? settings.units : inputs, settings.units));
    return block;
  }
  int64_t outputs() const { return layers.back().weight_hh.shape()[1]; }
  bool carries_time() const { return axis == SequenceAxis::time; }

  Var operator()(Var x, Pass& pass) const {
    for (size_t i = 0; i < layers.size(); ++i) {
      x = layers[i](x, axis, pass.output_dropout(dropout));
      pass.observed("layers." + std::to_string(i), x);
    }
    return x;
  }
  // Along notes, before they come one by one: what the inputs that all of them have already, x [1,B,N,F], add to their sums.
  // Given a note's part of it, `advance` takes that note's other inputs alone. Undefined where there is no such kernel.
  Tensor begun(const Tensor& x, BlockState& state) const {
    pack(state);
    return axis == SequenceAxis::notes && state.panels[0].panels.defined() ? lstm_begun(x, state.panels[0]) : Tensor();
  }
  Tensor advance(Tensor x, BlockState& state, int64_t note, int64_t notes, const Tensor& begun = {}) const {
    state.layers.resize(layers.size());
    state.notes.resize(layers.size());
    pack(state);
    for (size_t i = 0; i < layers.size(); ++i) {
      const Tensor start = i == 0 ? begun : Tensor();
      if (axis == SequenceAxis::notes) {
        if (note <= 0) state.layers[i] = {};  // a step's notes begin anew
        x = layers[i].advance(x, axis, state.layers[i], state.panels[i], start);
      } else if (note == all_notes) {
        x = layers[i].advance(x, axis, state.layers[i], state.panels[i], start);
      } else {
        LstmState own = of_note(state.layers[i], note, notes);
        x = layers[i].advance(x, axis, own, state.panels[i], start);
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
    for (size_t i = 0; i < layers.size(); ++i) layers[i].each_parameter(prefixed("layers." + std::to_string(i) + ".", f));
  }

 private:
  void pack(BlockState& state) const {
    for (size_t i = state.panels.size(); i < layers.size(); ++i) state.panels.push_back(layers[i].panels());
  }
  static LstmState of_note(const LstmState& all, int64_t note, int64_t notes) {  // rows (b, n) -> rows b
    if (!all.h.defined()) return {};
    const int64_t units = all.h.shape()[1], pieces = all.h.shape()[0] / notes;
    const auto pick = [&](const Tensor& x) { return slice_last(x.reshape({pieces, notes * units}), note * units, units); };
    return {pick(all.h), pick(all.c)};
  }
  static LstmState joined_notes(const std::vector<LstmState>& notes) {
    Tensors h, c;
    for (const LstmState& note : notes) {
      h.push_back(note.h);
      c.push_back(note.c);
    }
    const Shape shape{notes[0].h.shape()[0] * static_cast<int64_t>(notes.size()), notes[0].h.shape()[1]};
    return {concat_last(h).reshape(shape), concat_last(c).reshape(shape)};
  }
};

// Vaswani et al. 2017, with every part a switch.
struct AttentionBlock {
  BlockSettings settings;
  bool masked = false;  // sees only itself and notes earlier in the note order
  Linear query, key, value, output;
  LayerNorm norm1, norm2;
  Linear feed_forward_in, feed_forward_out;

  static AttentionBlock make(Initializer& init, const BlockSettings& settings, bool masked, int64_t width) {
    AttentionBlock block{settings, masked, {}, {}, {}, {}, {}, {}, {}, {}};
    const int64_t inner = settings.heads * settings.head_dim;
    block.query = Linear::make(init, width, inner, false);
    block.key = Linear::make(init, width, inner, false);
    block.value = Linear::make(init, width, inner, false);
    block.output = Linear::make(init, inner, width, false);
    if (settings.norm != Norm::none) block.norm1 = LayerNorm::make(init, width);
    if (settings.feed_forward) {
      if (settings.norm != Norm::none) block.norm2 = LayerNorm::make(init, width);
      block.feed_forward_in = Linear::make(init, width, 4 * width, true);
      block.feed_forward_out = Linear::make(init, 4 * width, width, true);
    }
    return block;
  }
  int64_t outputs() const { return output.weight.shape()[0]; }
  bool along_time() const { return settings.kind == BlockKind::attention_time_notes; }
  bool carries_time() const { return along_time(); }

  Var operator()(const Var& x, Pass& pass) const {
    return around(x, pass, [&](const Var& h) {
      const Var q = grouped(query(h), x.shape());
      const Var y = poph::attention(q, grouped(key(h), x.shape()), grouped(value(h), x.shape()), call(x.shape()[2], pass));
      return ungrouped(settings.query_gate ? mul(y, q) : y, x.shape());
    });
  }

  Tensor advance(const Tensor& x, BlockState& state, int64_t note, int64_t notes) const {
    NoGrad no_grad;
    Pass evaluation;
    const bool cached = along_time() || note != all_notes;
    if (!along_time() && note <= 0) state.keys = state.values = Tensor();
    return around(Var(x), evaluation,
                  [&](const Var& h) {
                    const Var q = grouped(query(h), x.shape());
                    Tensor k = grouped(key(h), x.shape()).value(), v = grouped(value(h), x.shape()).value();
                    if (cached) {
                      k = state.keys = appended(state.keys, k);
                      v = state.values = appended(state.values, v);
                    }
                    const Tensor y = attention(q.value(), k, v, call(notes, evaluation)).y;
                    return ungrouped(Var(settings.query_gate ? mul(y, q.value()) : y), x.shape());
                  })
        .value();
  }

  void each_parameter(const ParameterFn& f) {
    query.each_parameter(prefixed("query.", f));
    key.each_parameter(prefixed("key.", f));
    value.each_parameter(prefixed("value.", f));
    output.each_parameter(prefixed("output.", f));
    if (norm1.weight.defined()) norm1.each_parameter(prefixed("norm1.", f));
    if (norm2.weight.defined()) norm2.each_parameter(prefixed("norm2.", f));
    if (settings.feed_forward) {
      feed_forward_in.each_parameter(prefixed("feed_forward.0.", f));
      feed_forward_out.each_parameter(prefixed("feed_forward.1.", f));
    }
  }

 private:
  // The residual, norm and feed-forward around the attention itself.
  template <class F>
  Var around(const Var& x, Pass& pass, F attend) const {
    const auto before = [&](const Var& h, const LayerNorm& norm) { return settings.norm == Norm::pre ? norm(h) : h; };
    const auto after = [&](const Var& in, const Var& out, const LayerNorm& norm) {
      const Var sum = settings.residual ? add(in, out) : out;
      return settings.norm == Norm::post ? norm(sum) : sum;
    };
    const Var z = after(x, output(attend(before(x, norm1))), norm1);
    pass.observed("output", z);
    if (!settings.feed_forward) return z;
    const Var fed = feed_forward_out(relu(feed_forward_in(before(z, norm2))));
    const Var y = after(z, pass.dropout(fed, settings.dropout), norm2);
    pass.observed("feed_forward", y);
    return y;
  }

  AttentionSettings call(int64_t notes, Pass& pass) const {
    const double scale = settings.scale ? 1 / std::sqrt(static_cast<double>(settings.head_dim)) : 1.0;
    const int64_t visible_step = masked ? 1 : along_time() ? notes : 0;
    const RandomKey key = pass.next_key();
    return {settings.heads, scale, visible_step, pass.training ? settings.dropout : 0, key};
  }
  // What attends to each other as one axis: the notes of a (t, b), or the positions (t, n) of a b.
  Var grouped(const Var& x, const Shape& of) const {
    const int64_t width = x.shape().last();
    if (!along_time()) return reshape(x, {of[0] * of[1], of[2], width});
    return reshape(of[1] == 1 ? x : permute(x, {1, 0, 2, 3}), {of[1], of[0] * of[2], width});
  }
  Var ungrouped(const Var& y, const Shape& of) const {
    const int64_t width = y.shape().last();
    if (!along_time() || of[1] == 1) return reshape(y, {of[0], of[1], of[2], width});
    return permute(reshape(y, {of[1], of[0], of[2], width}), {1, 0, 2, 3});
  }
  static Tensor appended(const Tensor& before, const Tensor& x) {  // along axis 1
    if (!before.defined()) return x;
    const int64_t pieces = x.shape()[0], width = x.shape()[2], positions = before.shape()[1] + x.shape()[1];
    return concat_last({before.reshape({pieces, before.shape()[1] * width}), x.reshape({pieces, x.shape()[1] * width})})
        .reshape({pieces, positions, width});
  }
};

using Block = std::variant<LstmBlock, AttentionBlock>;

}  // namespace poph
