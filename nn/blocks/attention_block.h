#pragma once
#include <cmath>
#include <string>

#include "nn/blocks/columns.h"
#include "nn/blocks/interface.h"
#include "nn/linear.h"
#include "nn/settings.h"

// attention_notes and attention_time_notes (MODEL.md "Blocks"): the multi-head attention of Vaswani et al. 2017, with
// every part a switch.
namespace poph {

struct AttentionBlock {
  struct State {
    Tensor keys, values;  // [B, positions, heads * width]: of all time steps, or of the notes of this step

    void reset() { *this = {}; }
    void select(const Columns& columns) {
      keys = select_columns(keys, 0, columns);
      values = select_columns(values, 0, columns);
    }
  };

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
  std::string size_text() const { return joined(settings.heads, " x ", settings.head_dim); }

  Var operator()(const Var& x, ForwardContext& context) const {
    return around(x, context, [&](const Var& h) {
      const Var q = grouped(query(h), x.shape());
      const Var y =
          poph::attention(q, grouped(key(h), x.shape()), grouped(value(h), x.shape()), call(x.shape()[2], context));
      return ungrouped(settings.query_gate ? mul(y, q) : y, x.shape());
    });
  }

  Tensor advance(const Tensor& x, State& state, int64_t note, int64_t notes) const {
    NoGrad no_grad;
    ForwardContext evaluation;
    const bool cached = along_time() || note != all_notes;
    if (!along_time() && note <= 0) state.reset();
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
  Var around(const Var& x, ForwardContext& context, F attend) const {
    const auto before = [&](const Var& h, const LayerNorm& norm) { return settings.norm == Norm::pre ? norm(h) : h; };
    const auto after = [&](const Var& in, const Var& out, const LayerNorm& norm) {
      const Var sum = settings.residual ? add(in, out) : out;
      return settings.norm == Norm::post ? norm(sum) : sum;
    };
    const Var z = after(x, output(attend(before(x, norm1))), norm1);
    context.observe("output", z);
    if (!settings.feed_forward) return z;
    const Var fed = feed_forward_out(relu(feed_forward_in(before(z, norm2))));
    const Var y = after(z, context.dropout(fed, settings.dropout), norm2);
    context.observe("feed_forward", y);
    return y;
  }

  AttentionSettings call(int64_t notes, ForwardContext& context) const {
    const double scale = settings.scale ? 1 / std::sqrt(static_cast<double>(settings.head_dim)) : 1.0;
    const int64_t visible_step = masked ? 1 : along_time() ? notes : 0;
    const RandomKey key = context.next_key();
    return {.heads = settings.heads,
            .scale = scale,
            .visible_step = visible_step,
            .begins = along_time() ? context.begins : Tensor(),
            .dropout = context.training ? settings.dropout : 0,
            .key = key};
  }
  // The positions that attend to each other as one axis: the notes of a (t, b), or all (t, n) of a b.
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
    return before.defined() ? concat({before, x}, 1) : x;
  }
};

}  // namespace poph
