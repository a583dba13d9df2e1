#include <algorithm>

#include "tensor/lstm.h"
#include "tensor/optimizer.h"
#include "tests/support/op_cases.h"

// The rows of op_cases for the ops that are whole layers or optimiser steps.
namespace poph::test {
namespace {

using In = const Tensors&;
using Of = const Arrays&;

void add_lstm(std::vector<OpCase>& cases, SequenceAxis axis, const std::string& name,
              const std::vector<Shape>& shapes) {
  const OutputDropout dropped{0.3, case_key};
  const auto forward = [=](decltype(&lstm_stepwise) form) {
    return [=](In x) {
      const LstmResult r = form(x[0], x[1], x[2], wide(x[3]), axis, LstmStart{{x[4], square(wide(x[5]))}, {}}, dropped);
      const LstmState last = last_state(r, axis);
      return Tensors{r.h, r.gates, r.c, r.y, last.h, last.c};
    };
  };
  const auto expected = [=](Of x) {
    const Array c0 = map(x[5], [](double c) { return c * c; });
    const LstmReference r = lstm_reference(x[0], x[1], x[2], x[3], axis, {x[4], c0}, dropped);
    const Shape of = x[0].shape;
    const auto last = [&](const Array& h) {
      return array_of(x[4].shape, [&](const int64_t* i) {
        return axis == SequenceAxis::time ? h.at({of[0] - 1, i[0] / of[2], i[0] % of[2], i[1]})
                                          : h.at({i[0] / of[1], i[0] % of[1], of[2] - 1, i[1]});
      });
    };
    return Arrays{r.h, r.gates, r.c, r.y, last(r.h), last(r.c)};
  };
  const auto gradient = [=](decltype(&lstm_grad_stepwise) form) {
    return [=](In x) {
      const LstmResult r = lstm(x[0], x[1], x[2], wide(x[3]), axis);
      const LstmGradients g = form(x[0], x[1], x[2], r, axis, tanh(r.h), {}, dropped);
      return Tensors{g.dx, g.dweight_ih, g.dweight_hh, g.dbias};
    };
  };
  const auto expected_gradient = [=](Of x) {
    const Array h = lstm_reference(x[0], x[1], x[2], x[3], axis).h;
    return slopes([=](Of y) { return lstm_reference(y[0], y[1], y[2], y[3], axis, {}, dropped).y; },
                  {x[0], x[1], x[2], x[3]}, map(h, [](double value) { return std::tanh(value); }));
  };
  cases.push_back({"lstm " + name, shapes, forward(lstm), expected});
  cases.push_back({"lstm_stepwise " + name, shapes, forward(lstm_stepwise), expected});
  cases.push_back({"lstm_grad " + name, shapes, gradient(lstm_grad), expected_gradient});
  cases.push_back({"lstm_grad_stepwise " + name, shapes, gradient(lstm_grad_stepwise), expected_gradient});
}

// Pieces that begin within the steps, at step 0, and before it.
Tensor some_begins(int64_t steps, int64_t columns) {
  std::vector<double> begins(steps * columns);
  for (int64_t t = 0; t < steps; ++t)
    for (int64_t b = 0; b < columns; ++b)
      begins[t * columns + b] = static_cast<double>(t < b % 3 ? -1 : t < 3 + b % 3 ? b % 3 : 3 + b % 3);
  return Tensor::from(begins, {steps, columns}, Dtype::i32);
}

void add_lstm_with_begins(std::vector<OpCase>& cases, const std::vector<Shape>& shapes) {
  const OutputDropout dropped{0.3, case_key};
  const Tensor begins = some_begins(shapes[0][0], shapes[0][1]);
  const auto op = [=](decltype(&lstm_stepwise) form, decltype(&lstm_grad_stepwise) form_grad) {
    return [=](In x) {
      const LstmStart start{{x[4], square(wide(x[5]))}, begins.to(x[0].device())};
      const LstmResult r = form(x[0], x[1], x[2], wide(x[3]), SequenceAxis::time, start, dropped);
      const Tensors values{r.h.clone(), r.gates.clone(), r.c.clone(), r.y.clone()};
      const LstmGradients g = form_grad(x[0], x[1], x[2], r, SequenceAxis::time, tanh(r.h), start, dropped);
      return Tensors{values[0], values[1], values[2], values[3], g.dx, g.dweight_ih, g.dweight_hh, g.dbias};
    };
  };
  const auto expected = [=](Of x) {
    const auto reference = [=, c0 = map(x[5], [](double c) { return c * c; }), h0 = x[4]](Of y) {
      return lstm_reference(y[0], y[1], y[2], y[3], SequenceAxis::time, {h0, c0}, dropped, begins.values());
    };
    const LstmReference r = reference(x);
    Arrays all{r.h, r.gates, r.c, r.y};
    const Arrays gradients = slopes([=](Of y) { return reference(y).y; }, {x[0], x[1], x[2], x[3]},
                                    map(r.h, [](double value) { return std::tanh(value); }));
    all.insert(all.end(), gradients.begin(), gradients.end());
    return all;
  };
  cases.push_back({"lstm with begins, gradient", shapes, op(lstm, lstm_grad), expected});
  cases.push_back({"lstm_stepwise with begins, gradient", shapes, op(lstm_stepwise, lstm_grad_stepwise), expected});
}

void add_attention(std::vector<OpCase>& cases, const std::string& name, AttentionSettings settings,
                   const std::vector<Shape>& shapes) {
  const auto forward = [settings](In x) mutable {
    if (settings.begins.defined()) settings.begins = settings.begins.to(x[0].device());
    const AttentionResult r = attention(x[0], x[1], x[2], settings);
    return Tensors{r.y, r.log_sum_exp};
  };
  const auto expected = [settings](Of x) {
    const AttentionReference r = attention_reference(x[0], x[1], x[2], settings);
    return Arrays{r.y, r.log_sum_exp};
  };
  const auto gradient = [settings](In x) mutable {
    if (settings.begins.defined()) settings.begins = settings.begins.to(x[0].device());
    const AttentionResult r = attention(x[0], x[1], x[2], settings);
    const AttentionGradients g = attention_grad(x[0], x[1], x[2], r, settings, x[3]);
    return Tensors{g.dq, g.dk, g.dv};
  };
  const auto expected_gradient = [settings](Of x) {
    return slopes([settings](Of y) { return attention_reference(y[0], y[1], y[2], settings).y; }, {x[0], x[1], x[2]},
                  x[3]);
  };
  cases.push_back({"attention " + name, shapes, forward, expected});
  cases.push_back({"attention_grad " + name, shapes, gradient, expected_gradient});
}

Array numbers_of(const OptimizerStep& s) {
  return {Shape{OptimizerStep::count},
          {s.beta1, s.beta2, s.epsilon, s.decay, s.gradient_factor, s.moment_factor, s.second_correction,
           s.learning_rate, s.mean_rate, s.gradient_scale, s.apply}};
}

const OptimizerStep update{.beta1 = 0.9,
                           .beta2 = 0.99,
                           .epsilon = 1e-7,
                           .decay = 0.01,
                           .gradient_factor = 0.02,
                           .moment_factor = 0.1,
                           .second_correction = 1.5,
                           .learning_rate = 0.1,
                           .mean_rate = 0.3,
                           .gradient_scale = 0.7};

void add_optimizers(std::vector<OpCase>& cases, const Shape& cube) {
  // MODEL.md "Optimisers", element by element.
  const auto adam = [](double decay) {
    return [decay](Of x) {
      Arrays y{x[0], x[1], x[2]};
      for (size_t i = 0; i < x[0].values.size(); ++i) {
        double &parameter = y[0].values[i], &moment = y[1].values[i], &second = y[2].values[i];
        const double g = 0.7 * x[3].values[i];
        moment = 0.9 * moment + 0.1 * g;
        second = 0.99 * second * second + 0.01 * g * g;
        parameter -= decay * parameter + (0.02 * g + 0.1 * moment) / (std::sqrt(1.5 * second) + 1e-7);
      }
      return y;
    };
  };
  const auto updated_by_adam = [](bool decays) {
    return [decays](In x) {
      Tensor parameter = wide(x[0]).clone(), moment = wide(x[1]).clone(), second = square(wide(x[2]));
      adam_update(parameter, moment, second, wide(x[3]), update.on(x[0].device()), decays);
      return Tensors{parameter, moment, second};
    };
  };
  const auto clipped = [](Of x) {
    OptimizerStep step = update;
    step.gradient_scale = std::min(1.0, 2.5 / std::sqrt(2 * squares_of(x[0])));
    return Arrays{numbers_of(step)};
  };
  const auto skipped = [](Of) {
    OptimizerStep held = update;
    held.apply = 0;
    return Arrays{numbers_of(update), numbers_of(held), {Shape{}, {1}}};
  };
  // clang-format off
  const std::vector<OpCase> rows{
      {"adam_update", {cube, cube, cube, cube}, updated_by_adam(true), adam(0.01)},
      {"adam_update without decay", {cube, cube, cube, cube}, updated_by_adam(false), adam(0)},
      {"average_update", {cube, cube}, [](In x) {
         Tensor mean = wide(x[0]).clone();
         average_update(mean, wide(x[1]), update.on(x[0].device()));
         return Tensors{mean};
       }, [](Of x) { return Arrays{zip(x[0], x[1], [](double m, double w) { return m + 0.3 * (w - m); })}; }},
      {"sgd_update", {cube, cube}, [](In x) {
         Tensor y = wide(x[0]).clone();
         sgd_update(y, wide(x[1]), update.on(x[0].device()));
         return Tensors{y};
       }, [](Of x) { return Arrays{zip(x[0], x[1], [](double p, double g) { return p - 0.1 * 0.7 * g; })}; }},
      {"clip", {cube}, [](In x) {
         Tensor step = update.on(x[0].device());
         clip(step, sums_of_squares({wide(x[0]), wide(x[0])}), 2.5);
         return Tensors{step};
       }, clipped},
      {"skip_update_if_not_finite", {cube}, [](In x) {
         const Device device = x[0].device();
         Tensor step = update.on(device), held = update.on(device), halted = Tensor::zeros({}, Dtype::f64, device);
         const Tensor loss = Tensor::full({5}, 1, Dtype::f32, device);
         Tensor squares = sums_of_squares({wide(x[0])});
         Tensor huge = mul(squares, Tensor::full({1}, 1e300, Dtype::f64, device));
         skip_update_if_not_finite(step, halted, loss, squares);
         skip_update_if_not_finite(held, halted, loss, huge);
         return Tensors{step, held, halted};
       }, skipped},
      {"replace_unless", {cube, cube}, [](In x) {
         const Tensor replaced = x[0].clone(), kept = x[0].clone();
         replace_unless(Tensor::zeros({}, Dtype::f64, x[0].device()), replaced, x[1]);
         replace_unless(Tensor::full({}, 1, Dtype::f64, x[0].device()), kept, x[1]);
         return Tensors{replaced, kept};
       }, [](Of x) { return Arrays{x[1], x[0]}; }},
  };
  // clang-format on
  cases.insert(cases.end(), rows.begin(), rows.end());
}

}  // namespace

void add_layer_cases(std::vector<OpCase>& cases, int64_t n) {
  add_lstm(cases, SequenceAxis::time, "along time", {{5, n, 3, 6}, {28, 6}, {28, 7}, {28}, {3 * n, 7}, {3 * n, 7}});
  add_lstm(cases, SequenceAxis::notes, "along notes", {{n, 2, 5, 6}, {28, 6}, {28, 7}, {28}, {2 * n, 7}, {2 * n, 7}});
  const std::vector<Shape> many_groups{{n, 11, 6}, {n, 13, 6}, {n, 13, 6}, {n, 11, 6}},
      one_group{{1, n, 6}, {1, n, 6}, {1, n, 6}, {1, n, 6}};
  const AttentionSettings plain{.heads = 2, .scale = 0.5}, causal{.heads = 2, .scale = 0.7, .visible_step = 3},
      dropped{.heads = 1, .scale = 1, .visible_step = 2, .dropout = 0.3, .key = case_key};
  add_attention(cases, "of many groups", plain, many_groups);
  add_attention(cases, "of many groups, causal", causal, many_groups);
  add_attention(cases, "of one group", plain, one_group);
  add_attention(cases, "of one group, causal", causal, one_group);
  add_attention(cases, "with an offset and dropout", dropped, many_groups);
  add_attention(cases, "of one group with dropout", dropped, one_group);
  // 6 steps of 2 positions, in 3 groups
  const AttentionSettings lanes{
      .heads = 2, .scale = 0.6, .visible_step = 2, .begins = some_begins(6, 3), .dropout = 0.3, .key = case_key};
  add_attention(cases, "with begins", lanes, {{3, 12, 6}, {3, 12, 6}, {3, 12, 6}, {3, 12, 6}});
  add_lstm_with_begins(cases, {{6, 4, 3, 5}, {28, 5}, {28, 7}, {28}, {12, 7}, {12, 7}});
  add_optimizers(cases, {n, 3, 17});
}

}  // namespace poph::test
