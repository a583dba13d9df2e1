#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/functions.h"

// Shared by all tests: repeatable inputs, comparisons and the gradient check.
namespace poph::test {

// Standard normal numbers, a function of shape and site alone, each moved 0.05 away from 0, where relu has its kink.
Tensor random_input(Shape shape, uint32_t site, Dtype dtype = Dtype::f64);
Tensors random_inputs(const std::vector<Shape>& shapes, uint32_t site, Dtype dtype = Dtype::f64);
Vars leaves_of(const Tensors& values);  // each requires a gradient

double norm(const std::vector<double>& x);
// |found - expected| / |expected|; infinite when shapes differ.
double relative_difference(const std::vector<double>& found, const std::vector<double>& expected);
double relative_difference(const Tensor& found, const Tensor& expected);
bool same_bits(const Tensor& a, const Tensor& b);
// The same but for the sign of zeros, which -ffast-math leaves to the optimisation level.
bool same_numbers(const Tensor& a, const Tensor& b);
double limit_of(Dtype dtype);  // for two ways to compute the same: 1e-12 in f64, 1e-5 in f32, 1e-2 in bf16

// The gradients that backward() finds for `leaves` (f64) against central differences of fourth order, for random
// cotangents of the outputs: along one random direction per leaf and round, and once, for a leaf of up to 40 elements,
// along each of its axes. The result is the largest error, relative to the norm of the leaf's gradient.
double gradient_error(const std::function<Vars()>& function, Vars leaves, int rounds = 3, double step = 2e-4);
double gradient_error(const std::function<Var(const Vars&)>& function, const Tensors& inputs, int rounds = 3);
constexpr double gradient_limit = 1e-7;
// One round for a function that bends more than one op: sharply here and hardly there, and with the kinks of relu. Each
// leaf is checked with several lengths of the difference and, where a kink is closer than the shortest, at points
// beside its own. Its smallest error counts: a wrong gradient is wrong at each of them.
double best_gradient_error(const std::function<Vars()>& function, const Vars& leaves);

std::string message_of(const std::function<void()>& action);  // of the Error it throws, or "no error"

struct Threads {  // sets the number of threads while it lives
  explicit Threads(int count) { set_threads(count); }
  ~Threads() { set_threads(before); }
  const int before = threads();
};

}  // namespace poph::test
