#include <cmath>
#include <iostream>
#include <vector>

#include "autograd/functions.h"
#include "nn/linear.h"
#include "nn/optimizer.h"

// A tour of the engine, and the file to read first: numbers on a device
// (Tensor), numbers that know how they were made (Var), a gradient beside its
// formula, a model of two layers, an optimiser, and a loss that falls. It needs
// the headers of tensor/, autograd/ and nn/ alone, and exits with 1 where what
// it claims does not hold.
using namespace poph;

namespace {

// A model is a plain struct of layers. each_parameter is its one list of names:
// it counts, saves, loads and optimises.
struct Regression {
  Linear hidden, output;

  Var operator()(const Var& x) const { return output(tanh(hidden(x))); }
  void each_parameter(const ParameterFn& f) {
    hidden.each_parameter(prefixed("hidden.", f));
    output.each_parameter(prefixed("output.", f));
  }
};

bool claim(const char* what, bool holds) {
  std::cout << (holds ? "yes: " : "NO: ") << what << '\n';
  return holds;
}

}  // namespace

int main() {
  // A Tensor is row-major numbers of one type on one device. Copies share their
  // memory. Ops are functions that return new tensors, and tensor/ops.h lists
  // them all.
  const Tensor a = Tensor::from({1, 2, 3, 4, 5, 6}, {2, 3}, Dtype::f32);
  const Tensor row = Tensor::from({10, 20, 30}, {3}, Dtype::f32);
  std::cout << "a is " << a.shape() << ' ' << a.dtype() << " on " << a.device() << '\n';
  bool good =
      claim("shapes broadcast as in NumPy", add(a, row).values() == std::vector<double>{11, 22, 33, 14, 25, 36});

  // A Var holds a Tensor and records what is done with it (autograd/functions.h
  // has the functions). Those that require a gradient get it from backward(),
  // summed over all their uses.
  const std::vector<double> numbers{0.5, -1, 2};
  Var w(Tensor::from(numbers, {3}, Dtype::f64), true);
  backward(sum(square(tanh(w))));
  double error = 0;
  for (int i = 0; i < 3; ++i) {
    const double y = std::tanh(numbers[i]),
                 by_hand = 2 * y * (1 - y * y);  // d tanh(w)^2 / d w
    error += std::abs(w.gradient().values()[i] - by_hand);
  }
  good &= claim("the gradient is that of the formula", error < 1e-12);

  // Layers make their own weights. The numbers belong to a seed and are the
  // same on every device.
  Initializer init{.seed = 1};
  Regression model{Linear::make(init, 1, 16, true), Linear::make(init, 16, 1, true)};
  int64_t parameters = 0;
  model.each_parameter([&](const std::string& name, Var& parameter) {
    std::cout << "  " << name << ' ' << parameter.shape() << '\n';
    parameters += parameter.value().elements();
  });
  good &= claim("a model counts its parameters", parameters == 16 + 16 + 16 + 1);

  // What is to be learnt: one wave of the sine, at 64 points.
  std::vector<double> points, waves;
  for (int i = 0; i < 64; ++i) {
    points.push_back(i / 32.0 - 1);
    waves.push_back(std::sin(M_PI * points.back()));
  }
  const Var x(Tensor::from(points, {64, 1}, Dtype::f32)), target(Tensor::from(waves, {64, 1}, Dtype::f32));

  // Training, as in PyTorch: forget the old gradients, go forward, go back,
  // take a step.
  Optimizer adam;
  adam.kind = OptimizerKind::adam;
  std::vector<double> losses;
  for (int step = 0; step <= 400; ++step) {
    zero_grad(model);
    const Var loss = mean(square(sub(model(x), target)));
    backward(loss);
    adam.step(model, 0.02);
    losses.push_back(loss.value().item());
    if (step % 100 == 0) std::cout << "  step " << step << ", loss " << losses.back() << '\n';
  }
  good &= claim("the loss falls to a hundredth", losses.back() < losses.front() / 100);
  return good ? 0 : 1;
}
