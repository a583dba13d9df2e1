#include "tests/support/support.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace poph::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double dot(const Tensors& cotangents, const Vars& outputs, bool of_sizes = false) {
  double total = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto weights = cotangents[i].values(), values = outputs[i].value().values();
    for (size_t k = 0; k < values.size(); ++k)
      total += of_sizes ? std::abs(weights[k] * values[k]) : weights[k] * values[k];
  }
  return total;
}

// f' of the scalar function of `leaf` along `direction`: its error is of the order of step^4, so roundoff (1e-16 /
// step) rules.
double slope(const std::function<double()>& loss, Var& leaf, const Tensor& direction, double step) {
  const Tensor start = leaf.value();
  const auto at = [&](double times) {
    leaf.value() = add(start, scale(direction, times * step));
    return loss();
  };
  const double result = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step);
  leaf.value() = start;
  return result;
}

}  // namespace

double norm(const std::vector<double>& x) {
  double total = 0;
  for (double value : x) total += value * value;
  return std::sqrt(total);
}

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
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.bytes() == 0 || !std::memcmp(here.raw(), there.raw(), a.bytes()));
}

bool same_numbers(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.values() == b.values();
}

double limit_of(Dtype dtype) { return dtype == Dtype::f64 ? 1e-12 : dtype == Dtype::f32 ? 1e-5 : 1e-2; }

double gradient_error(const std::function<Vars()>& function, Vars leaves, int rounds, double step) {
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
      note(std::abs(slope(loss, leaf, direction, step) - product));
      for (int64_t i = 0; round == 0 && n <= 40 && i < n; ++i) {
        std::vector<double> axis(n);
        axis[i] = 1;
        note(std::abs(slope(loss, leaf, Tensor::from(axis, leaf.shape(), Dtype::f64), step) - expected[i]));
      }
    }
  }
  return worst;
}

double gradient_error(const std::function<Var(const Vars&)>& function, const Tensors& inputs, int rounds) {
  const Vars leaves = leaves_of(inputs);
  return gradient_error([&] { return Vars{function(leaves)}; }, leaves, rounds);
}

double best_gradient_error(const std::function<Vars()>& function, const Vars& leaves) {
  double worst = 0;
  for (Var leaf : leaves) {
    const Tensor start = leaf.value(), aside = random_input(leaf.shape(), 2000);
    double best = infinity;
    for (double distance : {0.0, 1e-3, -1e-3}) {
      if (best < gradient_limit) break;
      leaf.value() = add(start, scale(aside, distance));
      for (double step : {6e-5, 2e-5, 2e-4, 6e-6, 2e-6, 6e-7})
        if (best >= gradient_limit) best = std::min(best, gradient_error(function, {leaf}, 1, step));
    }
    leaf.value() = start;
    worst = std::max(worst, best);
  }
  return worst;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace poph::test
