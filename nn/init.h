#pragma once
#include <cmath>
#include <vector>

#include "autograd/var.h"

// The initial weights of layers, each kind with its source.
namespace poph {

// Each parameter draws its own random numbers from the seed, numbered in the order of the calls.
struct Initializer {
  uint64_t seed = 1;
  Dtype dtype = Dtype::f32;
  Device device = Device::cpu;
  bool blank = false;  // zeros in place of random numbers, for weights that are loaded next
  uint32_t next_site = 0;

  Var constant(Shape shape, double value) { return Var(Tensor::full(shape, value, dtype, device), true); }

  // Glorot and Bengio 2010: uniform within +- sqrt(6 / (fan_in + fan_out)).
  Var glorot_uniform(Shape shape, int64_t fan_in, int64_t fan_out) {
    if (blank) return constant(shape, 0);
    const double limit = std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
    return Var(random_uniform(shape, -limit, limit, next_key(), Dtype::f64, Device::cpu).to(dtype).to(device), true);
  }
  Var glorot_uniform(Shape shape) { return glorot_uniform(shape, shape[1], shape[0]); }

  // [gates * size, size]: one orthogonal matrix for each gate (Saxe et al. 2014), by Gram-Schmidt on normal numbers.
  Var orthogonal_gates(int64_t gates, int64_t size) {
    if (blank) return constant({gates * size, size}, 0);
    const Tensor all = random_normal({gates * size, size}, next_key(), Dtype::f64, Device::cpu);
    for (int64_t gate = 0; gate < gates; ++gate) orthonormalise(all.data<double>() + gate * size * size, size);
    return Var(all.to(dtype).to(device), true);
  }

  // Forget gates start at 1 (Jozefowicz et al. 2015), the others at 0.
  Var lstm_bias(int64_t units) {
    std::vector<double> values(4 * units, 0.0);
    for (int64_t i = units; i < 2 * units; ++i) values[i] = 1;
    return Var(Tensor::from(values, {4 * units}, dtype, device), true);
  }

 private:
  RandomKey next_key() { return {seed, next_site++, 0, RandomUse::initial_weights}; }

  static void orthonormalise(double* rows, int64_t size) {
    for (int64_t i = 0; i < size; ++i) {
      double* row = rows + i * size;
      for (int repeat = 0; repeat < 2; ++repeat)  // twice is enough (Kahan, in Parlett 1980)
        for (int64_t j = 0; j < i; ++j) {
          double dot = 0;
          for (int64_t k = 0; k < size; ++k) dot += row[k] * rows[j * size + k];
          for (int64_t k = 0; k < size; ++k) row[k] -= dot * rows[j * size + k];
        }
      double norm = 0;
      for (int64_t k = 0; k < size; ++k) norm += row[k] * row[k];
      for (int64_t k = 0; k < size; ++k) row[k] /= std::sqrt(norm);
    }
  }
};

}  // namespace poph
