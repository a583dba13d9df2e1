#include "autograd/functions.h"

#include <utility>

// Each function calls its op and gives the gradient beside it. A closure captures Tensors, never Vars, and only what
// the gradient needs.
namespace poph {

Var add(const Var& a, const Var& b) {
  return record(add(a.value(), b.value()), {a, b}, [](const Tensors& dy) { return Tensors{dy[0], dy[0]}; });
}

Var sub(const Var& a, const Var& b) {
  return record(sub(a.value(), b.value()), {a, b}, [](const Tensors& dy) { return Tensors{dy[0], scale(dy[0], -1)}; });
}

Var mul(const Var& a, const Var& b) {
  return record(mul(a.value(), b.value()), {a, b}, [x = a.value(), y = b.value()](const Tensors& dy) {
    return Tensors{mul(dy[0], y), mul(dy[0], x)};
  });
}

Var scale(const Var& x, double factor) {
  return record(scale(x.value(), factor), {x}, [factor](const Tensors& dy) { return Tensors{scale(dy[0], factor)}; });
}

Var elementwise(const Var& x, Tensor (*f)(const Tensor&), Tensor (*f_grad)(const Tensor&, const Tensor&), Saves saves) {
  const Tensor y = f(x.value()), saved = saves == Saves::y ? y : x.value();
  return record(y, {x}, [saved, f_grad](const Tensors& dy) { return Tensors{f_grad(saved, dy[0])}; });
}

namespace {
Tensor stretched(const Tensor& dy, const Shape& shape) {
  return add(dy, Tensor::zeros(shape, dy.dtype(), dy.device()));
}
}  // namespace

Var sum(const Var& x) {
  return record(sum(x.value()), {x},
                [shape = x.shape()](const Tensors& dy) { return Tensors{stretched(dy[0], shape)}; });
}

Var mean(const Var& x) {
  require(x.value().elements() > 0, "mean: of no elements");
  return scale(sum(x), 1.0 / static_cast<double>(x.value().elements()));
}

Var mean_axis(const Var& x, int axis) {
  const double factor = 1.0 / static_cast<double>(x.shape()[axis]);
  return record(
      scale(sum_to(x.value(), x.shape().with(axis, 1)), factor), {x},
      [shape = x.shape(), factor](const Tensors& dy) { return Tensors{stretched(scale(dy[0], factor), shape)}; });
}

Var softmax(const Var& x) {
  const Tensor y = softmax(x.value());
  return record(y, {x}, [y](const Tensors& dy) { return Tensors{softmax_grad(y, dy[0])}; });
}

Var min_last(const Var& x) {
  const MinResult least = min_last(x.value());
  return record(least.value, {x}, [index = least.index, width = x.shape().last()](const Tensors& dy) {
    return Tensors{min_last_grad(index, dy[0], width)};
  });
}

Var layer_norm(const Var& x, const Var& weight, const Var& bias, double epsilon) {
  const LayerNormResult result = layer_norm(x.value(), weight.value(), bias.value(), epsilon);
  return record(result.y, {x, weight, bias}, [result, weight = weight.value()](const Tensors& dy) {
    const LayerNormGradients g = layer_norm_grad(result, weight, dy[0]);
    return Tensors{g.dx, g.dweight, g.dbias};
  });
}

Var reshape(const Var& x, Shape shape) {
  return record(x.value().reshape(shape), {x},
                [shape = x.shape()](const Tensors& dy) { return Tensors{dy[0].reshape(shape)}; });
}

Var concat_last(const Vars& parts) {
  Tensors values;
  std::vector<int64_t> widths;
  for (const Var& part : parts) {
    values.push_back(part.value());
    widths.push_back(part.shape().last());
  }
  return record(concat_last(values), parts, [widths](const Tensors& dy) {
    Tensors gradients;
    int64_t first = 0;
    for (int64_t width : widths) {
      gradients.push_back(slice_last(dy[0], first, width));
      first += width;
    }
    return gradients;
  });
}

Var slice_last(const Var& x, int64_t first, int64_t count) {
  return record(slice_last(x.value(), first, count), {x}, [first, width = x.shape().last()](const Tensors& dy) {
    return Tensors{slice_last_grad(dy[0], first, width)};
  });
}

Var flip(const Var& x, int axis) {
  return record(flip(x.value(), axis), {x}, [axis](const Tensors& dy) { return Tensors{flip(dy[0], axis)}; });
}

Var shift(const Var& x, int axis, int64_t by) {
  return record(shift(x.value(), axis, by), {x},
                [axis, by](const Tensors& dy) { return Tensors{shift(dy[0], axis, -by)}; });
}

Var permute(const Var& x, const std::vector<int>& axes) {
  std::vector<int> back(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) back[x.shape().wrap(axes[i])] = static_cast<int>(i);
  return record(permute(x.value(), axes), {x}, [back](const Tensors& dy) { return Tensors{permute(dy[0], back)}; });
}

Var dropout(const Var& x, double probability, RandomKey key) {
  if (probability == 0) return x;
  return record(dropout(x.value(), probability, key), {x},
                [probability, key](const Tensors& dy) { return Tensors{dropout(dy[0], probability, key)}; });
}

Var matmul(const Var& a, const Var& b) {
  return record(matmul(a.value(), b.value()), {a, b}, [a = a.value(), b = b.value()](const Tensors& dy) {
    return Tensors{matmul(dy[0], b, false, true), matmul(a, dy[0], true, false)};
  });
}

namespace {
// A float32 weight as a pass in bf16 multiplies with it.
Tensor weight_for(const Var& x, const Var& weight) {
  return x.value().dtype() == Dtype::bf16 ? weight.value().to(Dtype::bf16) : weight.value();
}
}  // namespace

Var linear(const Var& x, const Var& weight, const Var& bias, bool wide) {
  Vars inputs{x, weight};
  if (bias.defined()) inputs.push_back(bias);
  const Tensor w = weight_for(x, weight);
  return record(
      linear(x.value(), w, bias.defined() ? bias.value() : Tensor(), wide), inputs,
      [x = x.value(), w, wants_dx = x.requires_grad(), biased = bias.defined()](const Tensors& dy) {
        const Tensor dy_rows = dy[0].reshape({dy[0].shape().rows(), dy[0].shape().last()});
        const Tensor x_rows = x.reshape({x.shape().rows(), x.shape().last()}), dy_factor = dy_rows.to(x.dtype());
        Tensors gradients{wants_dx ? matmul(dy_factor, w).reshape(x.shape()) : Tensor(),
                          matmul(dy_factor, x_rows, true, false, true)};
        if (biased) gradients.push_back(dy_rows);  // summed over rows by the engine
        return gradients;
      });
}

Var unfold_notes(const Var& x, int64_t kernel, int64_t pad_below) {
  return record(unfold_notes(x.value(), kernel, pad_below), {x},
                [channels = x.shape().last(), kernel, pad_below](const Tensors& dy) {
                  return Tensors{unfold_notes_grad(dy[0], channels, kernel, pad_below)};
                });
}

Var note_features(const Tensor& roll, const Var& conv, const Tensor& beat, int64_t lowest_note, bool descending) {
  return record(note_features(roll, conv.value(), beat, lowest_note, descending), {conv},
                [units = conv.shape().last(), descending](const Tensors& dy) {
                  return Tensors{note_features_grad(dy[0], units, descending)};
                });
}

Var lstm(const Var& x, const Var& weight_ih, const Var& weight_hh, const Var& bias, SequenceAxis axis,
         const OutputDropout& dropout, const LstmStart& start, LstmState* last) {
  const Tensor w_ih = weight_for(x, weight_ih), w_hh = weight_for(x, weight_hh);
  LstmResult result = lstm(x.value(), w_ih, w_hh, bias.value(), axis, start, dropout);
  if (last) *last = last_state(result, axis);
  const Tensor y = std::exchange(result.y, Tensor());  // the gradient needs the rest
  return record(y, {x, weight_ih, weight_hh, bias},
                [x = x.value(), w_ih, w_hh, result, axis, start, dropout](const Tensors& dy) {
                  const LstmGradients g = lstm_grad(x, w_ih, w_hh, result, axis, dy[0], start, dropout);
                  return Tensors{g.dx, g.dweight_ih, g.dweight_hh, g.dbias};
                });
}

Var attention(const Var& q, const Var& k, const Var& v, const AttentionSettings& settings) {
  const AttentionResult result = attention(q.value(), k.value(), v.value(), settings);
  return record(result.y, {q, k, v},
                [q = q.value(), k = k.value(), v = v.value(), result, settings](const Tensors& dy) {
                  const AttentionGradients g = attention_grad(q, k, v, result, settings, dy[0]);
                  return Tensors{g.dq, g.dk, g.dv};
                });
}

Var bce_with_logits(const Var& logit, const Tensor& target) {
  return record(bce_with_logits(logit.value(), target), {logit}, [logit = logit.value(), target](const Tensors& dy) {
    return Tensors{bce_with_logits_grad(logit, target, dy[0])};
  });
}

}  // namespace poph
