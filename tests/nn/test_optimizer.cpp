#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "nn/optimizer.h"
#include "tests/support/support.h"

namespace {

using namespace poph;
using namespace poph::test;

struct Parameters {
  Var first, second;
  void each_parameter(const ParameterFn& f) {
    f("first", first);
    f("second", second);
  }
};

Parameters some_parameters(Dtype dtype) {
  return {Var(Tensor::from({0.5, -1.25, 2.0}, {3, 1}, dtype), true), Var(Tensor::from({7}, {1, 1}, dtype), true)};
}

// A gradient that is a function of the parameter and the step.
std::vector<double> gradient_of(const std::vector<double>& p, int step) {
  const double slope[] = {1, -0.5, 0.25}, offset[] = {0.1, 0, -0.3};
  std::vector<double> g;
  for (size_t i = 0; i < p.size(); ++i) g.push_back(p[i] * slope[i] * step + offset[i]);
  return g;
}

struct Row {
  std::string name;
  OptimizerKind kind;
  std::vector<double> torch;  // torch.optim 2.15 after 5 steps of lr 0.002, eps 1e-7 (AdamW: weight_decay 0.01)
};
std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }

const std::vector<Row> rows{
    {"nadam", OptimizerKind::nadam, {0.49013122762676625, -1.2599921783786205, 1.9896496676341209}},
    {"adam", OptimizerKind::adam, {0.49022697690525513, -1.2596992856597848, 1.990671347941825}},
    {"adamw", OptimizerKind::adamw, {0.49017734418580206, -1.2595739303265738, 1.9904716979058212}},
    {"sgd", OptimizerKind::sgd, {0.48418499213209598, -1.2688565315926499, 1.988030464468197}},
};

Optimizer of_kind(OptimizerKind kind) {
  Optimizer optimizer;
  optimizer.kind = kind;
  return optimizer;
}

// The papers' formulas, one number at a time (Kingma and Ba 2015; Dozat 2016; Loshchilov and Hutter 2019).
struct Scalar {
  double m = 0, v = 0, product = 1, decay = 0.01;
  double next(OptimizerKind kind, double p, double g, int t, double rate) {
    if (kind == OptimizerKind::sgd) return p - rate * g;
    if (kind == OptimizerKind::adamw) p *= 1 - rate * decay;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const double root = std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-7;
    if (kind != OptimizerKind::nadam) return p - rate * m / (1 - std::pow(0.9, t)) / root;
    const double now = 0.9 * (1 - 0.5 * std::pow(0.96, 0.004 * t)),
                 then = 0.9 * (1 - 0.5 * std::pow(0.96, 0.004 * (t + 1)));
    product *= now;
    return p - rate * ((1 - now) * g / (1 - product) + then * m / (1 - product * then)) / root;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(optimizer)

BOOST_DATA_TEST_CASE(agrees_with_pytorch, boost::unit_test::data::make(rows), row) {
  for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Parameters parameters = some_parameters(dtype);
    Optimizer optimizer = of_kind(row.kind);
    for (int step = 1; step <= 5; ++step) {
      parameters.first.gradient() = Tensor::from(gradient_of(parameters.first.value().values(), step), {3, 1}, dtype);
      optimizer.step(parameters, 0.002);
    }
    BOOST_TEST(relative_difference(parameters.first.value().values(), row.torch) < (dtype == Dtype::f64 ? 1e-14 : 1e-6),
               dtype);
    BOOST_TEST(optimizer.updates == 5);
    BOOST_TEST(parameters.second.value().item() == 7.0, "a parameter without a gradient stays");
    BOOST_TEST(optimizer.moments.contains("first") == (row.kind != OptimizerKind::sgd));
  }
}

// With rates that change, gradients that are clipped, and over many steps.
BOOST_DATA_TEST_CASE(agrees_with_the_formulas, boost::unit_test::data::make(rows), row) {
  Parameters parameters = some_parameters(Dtype::f64);
  Optimizer optimizer = of_kind(row.kind);
  std::vector<double> expected = parameters.first.value().values();
  std::vector<Scalar> scalars(3);
  for (int step = 1; step <= 300; ++step) {
    const double rate = 0.01 / step, clip = step % 3 ? 1 : 0.25;
    const std::vector<double> gradient = gradient_of(parameters.first.value().values(), step % 7 + 1);
    parameters.first.gradient() = Tensor::from(gradient, {3, 1}, Dtype::f64);
    optimizer.prepare(parameters);
    OptimizerStep numbers = optimizer.next_step(rate);
    numbers.gradient_scale = clip;
    optimizer.update(parameters, numbers.on(Device::cpu));
    for (size_t i = 0; i < 3; ++i) expected[i] = scalars[i].next(row.kind, expected[i], clip * gradient[i], step, rate);
  }
  BOOST_TEST(relative_difference(parameters.first.value().values(), expected) < 1e-12);
}

// Each number by torch.optim.AdamW's formula, in two groups of parameters: those of one axis have weight_decay 0.
BOOST_AUTO_TEST_CASE(decay_shrinks_matrices_and_convolutions_alone) {
  struct Layer {
    std::map<std::string, Var> all;
    void each_parameter(const ParameterFn& f) {
      for (auto& [name, parameter] : all) f(name, parameter);
    }
  } layer;
  const std::vector<double> start{0.5, -1.25, 2.0};
  for (const auto& [name, shape] :
       std::map<std::string, Shape>{{"matrix", {1, 3}}, {"convolution", {1, 1, 3}}, {"bias", {3}}, {"gain", {3}}})
    layer.all[name] = Var(Tensor::from(start, shape, Dtype::f64), true);
  for (OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::nadam}) {
    Optimizer optimizer = of_kind(kind);
    optimizer.weight_decay = 0.3;
    for (auto& [name, parameter] : layer.all)
      parameter.value().copy_from(Tensor::from(start, parameter.shape(), Dtype::f64));
    std::map<std::string, std::vector<double>> expected;
    std::map<std::string, std::vector<Scalar>> scalars;
    for (const auto& [name, parameter] : layer.all) {
      expected[name] = start;
      const bool decays = name == "matrix" || name == "convolution";
      scalars[name].assign(3, Scalar{.decay = decays ? 0.3 : 0});
    }
    for (int step = 1; step <= 20; ++step) {
      for (auto& [name, parameter] : layer.all) {
        const std::vector<double> gradient = gradient_of(parameter.value().values(), step);
        parameter.gradient() = Tensor::from(gradient, parameter.shape(), Dtype::f64);
        for (size_t i = 0; i < 3; ++i)
          expected[name][i] = scalars[name][i].next(kind, expected[name][i], gradient[i], step, 0.05);
      }
      optimizer.step(layer, 0.05);
    }
    for (auto& [name, parameter] : layer.all)
      BOOST_TEST(relative_difference(parameter.value().values(), expected[name]) < 1e-13, name);
  }
}

// m += (1 - a)(w - m) with a = min(average, (1 + step) / (10 + step)), where a step that is not applied counts nowhere.
BOOST_DATA_TEST_CASE(the_mean_of_the_weights, boost::unit_test::data::make(rows), row) {
  Parameters parameters = some_parameters(Dtype::f64);
  Optimizer optimizer = of_kind(row.kind);
  optimizer.average = 0.4;  // from the sixth step on it is the smaller one
  std::vector<double> mean = parameters.first.value().values();
  optimizer.prepare(parameters);
  BOOST_TEST(same_bits(optimizer.averages.at("first"), parameters.first.value()));
  const Tensor* const place = &optimizer.averages.at("first");
  const void* const memory = place->raw();
  int done = 0;
  for (int step = 0; step < 12; ++step) {
    parameters.first.gradient() =
        Tensor::from(gradient_of(parameters.first.value().values(), step), {3, 1}, Dtype::f64);
    const bool applied = step != 3 && step != 8;
    const OptimizerCounters before = optimizer;
    OptimizerStep numbers = optimizer.next_step(0.1);
    numbers.apply = applied;
    optimizer.update(parameters, numbers.on(Device::cpu));
    if (!applied) {  // as TrainingStep::skip does
      static_cast<OptimizerCounters&>(optimizer) = before;
      continue;
    }
    const double a = std::min(0.4, (1.0 + done) / (10.0 + done));
    ++done;
    for (size_t i = 0; i < 3; ++i) mean[i] += (1 - a) * (parameters.first.value().values()[i] - mean[i]);
    BOOST_TEST(relative_difference(optimizer.averages.at("first").values(), mean) < 1e-14, "step " << step);
  }
  BOOST_TEST(optimizer.averages.at("second").item() == 7.0, "without a gradient the weight stays, and so its mean");
  BOOST_TEST(optimizer.averages.at("first").raw() == memory);
  BOOST_TEST(of_kind(row.kind).averages.empty());
}

// A checkpoint holds all of an optimiser's state: one made of it continues as the old one would.
BOOST_DATA_TEST_CASE(continues_from_its_moments, boost::unit_test::data::make(rows), row) {
  Parameters one = some_parameters(Dtype::f32), two = some_parameters(Dtype::f32);
  Optimizer first = of_kind(row.kind), second = first;
  const auto step = [](Parameters& parameters, Optimizer& optimizer, int number) {
    parameters.first.gradient() =
        Tensor::from(gradient_of(parameters.first.value().values(), number), {3, 1}, Dtype::f32);
    optimizer.step(parameters, 0.01);
  };
  for (int i = 1; i <= 3; ++i) step(one, first, i);
  two.first.value().copy_from(one.first.value());
  second.updates = first.updates;
  second.momentum_product = first.momentum_product;
  for (const auto& [name, moment] : first.moments) second.moments[name] = moment.clone();
  for (const auto& [name, moment] : first.second_moments) second.second_moments[name] = moment.clone();
  for (int i = 4; i <= 6; ++i) {
    step(one, first, i);
    step(two, second, i);
  }
  BOOST_TEST(same_bits(one.first.value(), two.first.value()));
}

// The norm is over all parameters that have a gradient: 1 + 4 + 16 + 100 = 11 squared.
BOOST_AUTO_TEST_CASE(clipping_scales_by_the_norm_of_all_gradients) {
  Parameters parameters = some_parameters(Dtype::f32);
  parameters.first.gradient() = Tensor::from({1, 2, 4}, {3, 1}, Dtype::f32);
  BOOST_TEST(sums_of_squares(gradients_of(parameters)).values() == (std::vector<double>{21, 0}),
             boost::test_tools::per_element());
  parameters.second.gradient() = Tensor::from({10}, {1, 1}, Dtype::f32);
  const Tensor squares = sums_of_squares(gradients_of(parameters));
  BOOST_TEST(squares.values() == (std::vector<double>{21, 100}), boost::test_tools::per_element());
  const auto scale = [&](double longest) {
    OptimizerStep numbers = of_kind(OptimizerKind::adam).next_step(0.1);
    Tensor step = numbers.on(Device::cpu);
    clip(step, squares, longest);
    numbers.gradient_scale = step.values()[OptimizerStep::count - 2];
    BOOST_TEST(same_bits(step, numbers.on(Device::cpu)), "nothing else has changed");
    return numbers.gradient_scale;
  };
  BOOST_TEST(scale(5.5) == 0.5);
  BOOST_TEST(scale(11) == 1.0);
  BOOST_TEST(scale(100) == 1.0);
  zero_grad(parameters);
  for (const Tensor& gradient : gradients_of(parameters)) BOOST_TEST(!gradient.defined());
}

// By the bits, for kernels are compiled as if there were no NaN.
BOOST_AUTO_TEST_CASE(a_step_that_is_not_finite_changes_nothing) {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  struct Row {
    std::vector<double> losses, squares;
    double halted, apply;
  };
  for (const Row& row : std::vector<Row>{{{1, 2}, {3, 4}, 0, 1},
                                         {{1, nan}, {3, 4}, 0, 0},
                                         {{-infinity, 2}, {3, 4}, 0, 0},
                                         {{1, 2}, {3, infinity}, 0, 0},
                                         {{1, 2}, {nan, 4}, 0, 0},
                                         {{1, 2}, {-nan, nan}, 0, 0},
                                         {{1, 2}, {3, 4}, 1, 0},
                                         {{3e38, -3e38}, {9e37, 0}, 0, 1},
                                         {{1, 2}, {2e38, 4}, 0, 0}}) {
    for (OptimizerKind kind : {OptimizerKind::nadam, OptimizerKind::sgd})
      for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
        Parameters parameters = some_parameters(dtype);
        const Tensor before = parameters.first.value().clone();
        parameters.first.gradient() = Tensor::from({1, row.apply ? 2 : nan, 4}, {3, 1}, dtype);
        Optimizer optimizer = of_kind(kind);
        optimizer.prepare(parameters);
        Tensor step = optimizer.next_step(0.1).on(Device::cpu), halted = Tensor::full({}, row.halted, Dtype::f64);
        Tensor squares = Tensor::from(row.squares, {2}, Dtype::f64);
        skip_update_if_not_finite(step, halted, Tensor::from(row.losses, {2}, Dtype::f32), squares);
        BOOST_TEST(halted.item() == 1 - row.apply);
        optimizer.update(parameters, step);
        BOOST_TEST(same_bits(parameters.first.value(), before) == (row.apply == 0));
        for (const auto& [name, moment] : optimizer.moments) BOOST_TEST((count_nonfinite(moment) == 0));
      }
  }
}

// Squares of such gradients are too small for float32, or have few of their digits left.
BOOST_AUTO_TEST_CASE(tiny_gradients_make_tiny_steps) {
  for (OptimizerKind kind : {OptimizerKind::nadam, OptimizerKind::adam, OptimizerKind::adamw})
    for (double gradient = 1e-10; gradient > 1e-36; gradient /= 3) {
      std::vector<Tensor> found;
      for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
        struct One {
          Var weight;
          void each_parameter(const ParameterFn& f) { f("weight", weight); }
        } one{Var(Tensor::zeros({40}, dtype), true)};
        Optimizer optimizer = of_kind(kind);
        for (int step = 0; step < 3; ++step) {
          one.weight.gradient() = Tensor::full({40}, gradient, dtype);
          optimizer.step(one, 0.01);
        }
        found.push_back(one.weight.value());
      }
      BOOST_TEST_REQUIRE(count_nonfinite(found[0]) == 0, "gradient " << gradient);
      BOOST_TEST(relative_difference(found[0], found[1]) < 1e-4, "gradient " << gradient);
    }
}

// Its square would stay infinite in the second moment, and every later update, divided by it, would be 0.
BOOST_AUTO_TEST_CASE(a_gradient_too_large_for_its_moments_changes_nothing) {
  for (const bool clipped : {false, true}) {
    Parameters parameters = some_parameters(Dtype::f32);
    const Tensor before = parameters.first.value().clone();
    parameters.first.gradient() = Tensor::from({1e21, 2, 4}, {3, 1}, Dtype::f32);
    Optimizer optimizer = of_kind(OptimizerKind::nadam);
    optimizer.prepare(parameters);
    Tensor step = optimizer.next_step(0.1).on(Device::cpu), halted = Tensor::zeros({}, Dtype::f64);
    Tensor squares = sums_of_squares({parameters.first.gradient()});
    if (clipped) clip(step, squares, 1);
    skip_update_if_not_finite(step, halted, Tensor::from({1}, {1}, Dtype::f32), squares);
    optimizer.update(parameters, step);
    BOOST_TEST(halted.item() == (clipped ? 0 : 1));
    BOOST_TEST(std::isinf(squares.item()) == !clipped);
    BOOST_TEST(same_bits(parameters.first.value(), before) == !clipped);
    for (const auto* moments : {&optimizer.moments, &optimizer.second_moments})
      for (const auto& [name, moment] : *moments) BOOST_TEST((count_nonfinite(moment) == 0));
  }
}

// The kernel sums in another order than the plain loop: they may differ by roundoff alone.
BOOST_AUTO_TEST_CASE(sums_of_squares_of_long_tensors) {
  for (int64_t n : {1, 63, 4095, 4096, 4097, 100003}) {
    const Tensor x = random_input({n}, 3), y = random_input({n, 2}, 4, Dtype::f32);
    const std::vector<double> found = sums_of_squares({x, y}).values();
    BOOST_TEST_REQUIRE(found.size() == 2u);
    for (const auto& [each, sum] : {std::pair{&x, found[0]}, {&y, found[1]}}) {
      double expected = 0;
      for (double value : each->values()) expected += value * value;
      BOOST_TEST(std::abs(sum / expected - 1) < 1e-12, n);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
