#include "tests/support.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace poph::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double norm(const std::vector<double>& x) {
  double total = 0;
  for (double value : x) total += value * value;
  return std::sqrt(total);
}

double dot(const Tensors& cotangents, const Vars& outputs, bool of_sizes = false) {
  double total = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto weights = cotangents[i].values(), values = outputs[i].value().values();
    for (size_t k = 0; k < values.size(); ++k) total += of_sizes ? std::abs(weights[k] * values[k]) : weights[k] * values[k];
  }
  return total;
}

// f' of the scalar function of `leaf` along `direction`: its error is of the order of step^4, so roundoff (1e-16 / step) rules.
double slope(const std::function<double()>& loss, Var& leaf, const Tensor& direction) {
  const Tensor start = leaf.value();
  const double step = 2e-4;
  const auto at = [&](double times) {
    leaf.value() = add(start, scale(direction, times * step));
    return loss();
  };
  const double result = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step);
  leaf.value() = start;
  return result;
}

}  // namespace

Tensor random_input(Shape shape, uint32_t site, Dtype dtype) {
  std::vector<double> values = random_normal(shape, {.seed = 20, .site = site}, Dtype::f64, Device::cpu).values();
  for (double& value : values) value += value < 0 ? -0.05 : 0.05;
  return Tensor::from(values, shape, dtype);
}

Tensors random_inputs(const std::vector<Shape>& shapes, uint32_t site, Dtype dtype) {
  Tensors inputs;
  for (const Shape& shape : shapes) inputs.push_back(random_input(shape, site++, dtype));
  return inputs;
}

Vars leaves_of(const Tensors& values) {
  Vars leaves;
  for (const Tensor& value : values) leaves.emplace_back(value, true);
  return leaves;
}

double relative_difference(const std::vector<double>& found, const std::vector<double>& expected) {
  if (found.size() != expected.size()) return infinity;
  std::vector<double> difference(found.size());
  for (size_t i = 0; i < found.size(); ++i) difference[i] = found[i] - expected[i];
  const double size = norm(expected);
  return norm(difference) / (size > 0 ? size : 1);
}

double relative_difference(const Tensor& found, const Tensor& expected) {
  return found.shape() == expected.shape() ? relative_difference(found.values(), expected.values()) : infinity;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor here = a.to(Device::cpu), there = b.to(Device::cpu);
  return a.shape() == b.shape() && a.dtype() == b.dtype() && (a.bytes() == 0 || !std::memcmp(here.raw(), there.raw(), a.bytes()));
}

double limit_of(Dtype dtype) { return dtype == Dtype::f64 ? 1e-12 : dtype == Dtype::f32 ? 1e-5 : 1e-2; }

double gradient_error(const std::function<Vars()>& function, Vars leaves, int rounds) {
  double worst = 0;
  uint32_t site = 1000;
  for (int round = 0; round < rounds; ++round) {
    for (Var& leaf : leaves) leaf.gradient() = Tensor();
    const Vars outputs = function();
    Tensors cotangents;
    for (const Var& output : outputs) cotangents.push_back(random_input(output.shape(), site++));
    // A hand-made last node, so that the check relies on nothing but the engine.
    backward(record(Tensor::zeros({}, Dtype::f64), outputs, [cotangents](const Tensors&) { return cotangents; }));
    const double floor = 1e-5 * dot(cotangents, outputs, true) + 1e-30;  // below this a gradient is roundoff
    const NoGrad no_grad;
    const auto loss = [&] { return dot(cotangents, function()); };
    for (Var& leaf : leaves) {
      const int64_t n = leaf.value().elements();
      const Tensor gradient = leaf.gradient().defined() ? leaf.gradient() : Tensor::zeros(leaf.shape(), Dtype::f64);
      if (!(gradient.shape() == leaf.shape())) return infinity;
      const std::vector<double> expected = gradient.values();
      const double size = std::max(norm(expected), floor);
      const auto note = [&](double error) {
        worst = error / size <= worst ? worst : error / size < infinity ? error / size : infinity;
      };

      const Tensor direction = random_input(leaf.shape(), site++);
      const std::vector<double> along = direction.values();
      double product = 0;
      for (int64_t i = 0; i < n; ++i) product += along[i] * expected[i];
      note(std::abs(slope(loss, leaf, direction) - product));
      for (int64_t i = 0; round == 0 && n <= 40 && i < n; ++i) {
        std::vector<double> axis(n);
        axis[i] = 1;
        note(std::abs(slope(loss, leaf, Tensor::from(axis, leaf.shape(), Dtype::f64)) - expected[i]));
      }
    }
  }
  return worst;
}

double gradient_error(const std::function<Var(const Vars&)>& function, const Tensors& inputs, int rounds) {
  const Vars leaves = leaves_of(inputs);
  return gradient_error([&] { return Vars{function(leaves)}; }, leaves, rounds);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::vector<OpCase> op_cases(int64_t n) {
  const Shape cube{n, 3, 17}, notes{3, n, 27, 3};
  const RandomKey key{.seed = 7, .site = 3, .step = 11};
  const auto time = SequenceAxis::time, along_notes = SequenceAxis::notes;
  const std::vector<Shape> lstm_time{{5, n, 3, 6}, {28, 6}, {28, 7}, {28}, {3 * n, 7}, {3 * n, 7}};
  const std::vector<Shape> lstm_notes{{n, 2, 5, 6}, {28, 6}, {28, 7}, {28}, {2 * n, 7}, {2 * n, 7}};
  const AttentionSettings plain{.heads = 2, .scale = 0.5}, causal{.heads = 2, .scale = 0.7, .visible_step = 3},
      dropped{.heads = 1, .scale = 1, .visible_step = 2, .dropout = 0.3, .key = key};
  const OptimizerStep update{.beta1 = 0.9,
                             .beta2 = 0.99,
                             .epsilon = 1e-7,
                             .decay = 0.01,
                             .gradient_factor = 0.02,
                             .moment_factor = 0.1,
                             .second_correction = 1.5,
                             .learning_rate = 0.1,
                             .gradient_scale = 0.7};
  using In = const Tensors&;
  const auto wide = [](const Tensor& x) { return x.to(accumulate_dtype(x.dtype())); };  // what is float32 beside bf16 tensors
  const auto run_lstm = [wide, key](SequenceAxis axis, decltype(&lstm_stepwise) forward) {
    return [=](In x) {
      const LstmResult r = forward(x[0], x[1], x[2], wide(x[3]), axis, LstmState{x[4], square(wide(x[5]))}, OutputDropout{0.3, key});
      const LstmState last = last_state(r, axis);
      return Tensors{r.h, r.gates, r.c, r.y, last.h, last.c};
    };
  };
  const auto run_lstm_grad = [wide, key](SequenceAxis axis, decltype(&lstm_grad_stepwise) backward) {
    return [=](In x) {
      const LstmResult r = lstm(x[0], x[1], x[2], wide(x[3]), axis);
      const LstmGradients g = backward(x[0], x[1], x[2], r, axis, tanh(r.h), OutputDropout{0.3, key});
      return Tensors{g.dx, g.dweight_ih, g.dweight_hh, g.dbias};
    };
  };
  const auto run_attention = [](AttentionSettings settings) {
    return [=](In x) {
      const AttentionResult r = attention(x[0], x[1], x[2], settings);
      return Tensors{r.y, r.log_sum_exp};
    };
  };
  const auto run_attention_grad = [](AttentionSettings settings) {
    return [=](In x) {
      const AttentionResult r = attention(x[0], x[1], x[2], settings);
      const AttentionGradients g = attention_grad(x[0], x[1], x[2], r, settings, x[3]);
      return Tensors{g.dq, g.dk, g.dv};
    };
  };
  const std::vector<Shape> many_groups{{n, 11, 6}, {n, 13, 6}, {n, 13, 6}, {n, 11, 6}},
      one_group{{1, n, 6}, {1, n, 6}, {1, n, 6}, {1, n, 6}};

  // clang-format off
  return {
      {"fill", {cube}, [](In x) { Tensor y = x[0].clone(); fill(y, 2.5); return Tensors{y}; }},
      {"convert", {cube}, [](In x) { return Tensors{convert(x[0], Dtype::f32), convert(x[0], Dtype::f64), convert(x[0], Dtype::bf16)}; }},
      {"add", {cube, cube}, [](In x) { return Tensors{add(x[0], x[1])}; }},
      {"add a row", {cube, {17}}, [](In x) { return Tensors{add(x[0], x[1]), add(x[1], x[0])}; }},
      {"add_bias", {cube, {17}}, [wide](In x) { return Tensors{add_bias(x[0], wide(x[1]))}; }},
      {"sub a number", {cube, {}}, [](In x) { return Tensors{sub(x[0], x[1]), sub(x[1], x[0])}; }},
      {"mul a middle axis", {cube, {n, 1, 17}}, [](In x) { return Tensors{mul(x[0], x[1]), mul(x[1], x[0])}; }},
      {"mul an outer product", {{n, 1}, {1, 61}}, [](In x) { return Tensors{mul(x[0], x[1])}; }},
      {"scale", {cube}, [](In x) { return Tensors{scale(x[0], -0.3)}; }},
      {"add_into", {cube, cube}, [](In x) { Tensor y = x[0].clone(); add_into(y, x[1]); return Tensors{y}; }},
      {"sigmoid", {cube}, [](In x) { return Tensors{sigmoid(x[0])}; }},
      {"sigmoid_grad", {cube, cube}, [](In x) { return Tensors{sigmoid_grad(x[0], x[1])}; }},
      {"tanh", {cube}, [](In x) { return Tensors{tanh(x[0])}; }},
      {"tanh_grad", {cube, cube}, [](In x) { return Tensors{tanh_grad(x[0], x[1])}; }},
      {"relu", {cube}, [](In x) { return Tensors{relu(x[0])}; }},
      {"relu_grad", {cube, cube}, [](In x) { return Tensors{relu_grad(x[0], x[1])}; }},
      {"square", {cube}, [](In x) { return Tensors{square(x[0])}; }},
      {"square_grad", {cube, cube}, [](In x) { return Tensors{square_grad(x[0], x[1])}; }},
      {"sum_to", {cube}, [n](In x) {
         return Tensors{sum_to(x[0], {17}), sum_to(x[0], {3, 17}), sum_to(x[0], {n, 3, 1}), sum_to(x[0], {n, 1, 17}),
                        sum_to(x[0], {1, 3, 1})};
       }},
      {"sum", {cube}, [](In x) { return Tensors{sum(x[0])}; }},
      {"softmax", {cube}, [](In x) { return Tensors{softmax(x[0])}; }},
      {"softmax_grad", {cube, cube}, [](In x) { return Tensors{softmax_grad(x[0], x[1])}; }},
      {"layer_norm", {cube, {17}, {17}}, [wide](In x) {
         const LayerNormResult r = layer_norm(x[0], wide(x[1]), wide(x[2]), 1e-5);
         return Tensors{r.y, r.normalised, r.inverse_deviation};
       }},
      {"layer_norm_grad", {cube, {17}, {17}, cube}, [wide](In x) {
         const LayerNormGradients g = layer_norm_grad(layer_norm(x[0], wide(x[1]), wide(x[2]), 1e-5), wide(x[1]), x[3]);
         return Tensors{g.dx, g.dweight, g.dbias};
       }},
      {"min_last", {cube}, [](In x) { const MinResult r = min_last(x[0]); return Tensors{r.value, r.index}; }},
      {"min_last_grad", {cube, {n, 3}}, [](In x) { return Tensors{min_last_grad(min_last(x[0]).index, x[1], 17)}; }},
      {"sums_of_squares", {cube, {n}}, [wide](In x) { return Tensors{sums_of_squares({wide(x[0]), Tensor(), wide(x[1])})}; }},
      {"count_nonfinite", {cube}, [](In x) { return Tensors{Tensor::full({}, count_nonfinite(x[0]), Dtype::f64)}; }},
      {"concat_last", {cube, {n, 3, 1}, {n, 3, 5}}, [](In x) { return Tensors{concat_last(x)}; }},
      {"slice_last", {cube}, [](In x) { return Tensors{slice_last(x[0], 3, 11)}; }},
      {"slice_last_grad", {cube}, [](In x) { return Tensors{slice_last_grad(x[0], 2, 23)}; }},
      {"flip", {cube}, [](In x) { return Tensors{flip(x[0], 0), flip(x[0], 1), flip(x[0], -1)}; }},
      {"shift", {cube}, [](In x) { return Tensors{shift(x[0], 0, 2), shift(x[0], 1, -1), shift(x[0], 2, 40)}; }},
      {"permute", {notes}, [](In x) { return Tensors{permute(x[0], {2, 0, 3, 1}), permute(x[0], {1, 0, 2, 3})}; }},
      {"random_uniform", {cube}, [key](In x) {
         return Tensors{random_uniform(x[0].shape(), -1, 3, key, x[0].dtype(), x[0].device())};
       }},
      {"random_normal", {cube}, [key](In x) {
         return Tensors{random_normal(x[0].shape(), key, x[0].dtype(), x[0].device())};
       }},
      {"dropout", {cube}, [key](In x) { return Tensors{dropout(x[0], 0.4, key)}; }},
      {"matmul", {{n, 37}, {37, 2 * n + 1}}, [](In x) { return Tensors{matmul(x[0], x[1]), matmul(x[1], x[0], true, true)}; }},
      {"matmul of transposes", {{n, 37}, {n, 29}, {2 * n + 1, 37}}, [](In x) {
         return Tensors{matmul(x[0], x[1], true, false), matmul(x[0], x[2], false, true)};
       }},
      {"linear", {cube, {19, 17}, {19}}, [wide](In x) {
         return Tensors{linear(x[0], x[1], wide(x[2])), linear(x[0], x[1], {}), linear(x[0], x[1], wide(x[2]), true)};
       }},
      {"unfold_notes", {notes}, [](In x) { return Tensors{unfold_notes(x[0], 24, 11)}; }},
      {"unfold_notes_grad", {{3, n, 27, 15}}, [](In x) { return Tensors{unfold_notes_grad(x[0], 3, 5, 2)}; }},
      {"note_features", {notes, {3, n, 27, 5}, {3, n, 16}}, [](In x) {
         return Tensors{note_features(x[0], x[1], x[2], 36, false), note_features(x[0], x[1], x[2], 41, true)};
       }},
      {"note_features_grad", {{3, n, 27, 35}}, [](In x) {
         return Tensors{note_features_grad(x[0], 5, false), note_features_grad(x[0], 5, true)};
       }},
      {"lstm along time", lstm_time, run_lstm(time, lstm)},
      {"lstm along notes", lstm_notes, run_lstm(along_notes, lstm)},
      {"lstm_stepwise along time", lstm_time, run_lstm(time, lstm_stepwise)},
      {"lstm_stepwise along notes", lstm_notes, run_lstm(along_notes, lstm_stepwise)},
      {"lstm_grad along time", lstm_time, run_lstm_grad(time, lstm_grad)},
      {"lstm_grad along notes", lstm_notes, run_lstm_grad(along_notes, lstm_grad)},
      {"lstm_grad_stepwise along time", lstm_time, run_lstm_grad(time, lstm_grad_stepwise)},
      {"lstm_grad_stepwise along notes", lstm_notes, run_lstm_grad(along_notes, lstm_grad_stepwise)},
      {"attention of many groups", many_groups, run_attention(plain)},
      {"attention of one group, causal", one_group, run_attention(causal)},
      {"attention with an offset and dropout", many_groups, run_attention(dropped)},
      {"attention_grad of many groups", many_groups, run_attention_grad(causal)},
      {"attention_grad of one group", one_group, run_attention_grad(plain)},
      {"attention_grad with dropout", one_group, run_attention_grad(dropped)},
      {"bce_with_logits", {cube, cube}, [](In x) { return Tensors{bce_with_logits(x[0], sigmoid(x[1]))}; }},
      {"bce_with_logits_grad", {cube, cube, cube}, [](In x) { return Tensors{bce_with_logits_grad(x[0], sigmoid(x[1]), x[2])}; }},
      {"adam_update", {cube, cube, cube, cube}, [update, wide](In x) {
         Tensor parameter = wide(x[0]).clone(), moment = wide(x[1]).clone(), second = square(wide(x[2]));
         adam_update(parameter, moment, second, wide(x[3]), update.on(x[0].device()));
         return Tensors{parameter, moment, second};
       }},
      {"sgd_update", {cube, cube}, [update, wide](In x) {
         Tensor y = wide(x[0]).clone();
         sgd_update(y, wide(x[1]), update.on(x[0].device()));
         return Tensors{y};
       }},
      {"clip", {cube}, [update, wide](In x) {
         Tensor step = update.on(x[0].device());
         clip(step, sums_of_squares({wide(x[0]), wide(x[0])}), 2.5);
         return Tensors{step};
       }},
      {"guard", {cube}, [update, wide](In x) {
         Tensor step = update.on(x[0].device()), held = update.on(x[0].device()), halted = Tensor::zeros({}, Dtype::f64, x[0].device());
         const Tensor loss = Tensor::full({5}, 1, Dtype::f32, x[0].device());
         Tensor squares = sums_of_squares({wide(x[0])}), huge = mul(squares, Tensor::full({1}, 1e300, Dtype::f64, x[0].device()));
         guard(step, halted, loss, squares);
         guard(held, halted, loss, huge);
         return Tensors{step, held, halted};
       }},
  };
  // clang-format on
}

}  // namespace poph::test
