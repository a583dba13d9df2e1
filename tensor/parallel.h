#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tensor/host_device.h"
#include "tensor/kernel.h"
#include "tensor/tensor.h"

// The whole dispatch mechanism: one functor, a parallel loop on the CPU, a grid-stride kernel on the GPU. Only kernel
// sources (.cu) include this; they are compiled by nvcc where CUDA is there and by the C++ compiler otherwise.

// One binary for every x86-64: the loop is compiled for AVX-512, AVX2 with FMA, and the baseline, and the loader picks
// by what the processor can do. (A processor's name in place of the level would pick by its vendor too.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__CUDA_ARCH__)
#define POPH_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define POPH_CLONES
#endif

namespace poph {

// CPU work is cut at multiples of this many elements, whatever the number of threads: where a vector loop ends and its
// scalar remainder begins must not move, or results would differ in the last bit.
constexpr int64_t loop_block = 8192;
constexpr int64_t parallel_blocks = 8;  // fewer are not worth the threads

template <class F>
POPH_CLONES void run_loop(int64_t begin, int64_t end, F f) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) f(i);
}

template <class F>
POPH_CLONES void run_rows(int64_t begin, int64_t end, F f) {
  for (int64_t i = begin; i < end; ++i) f(i);
}

#ifdef POPH_KERNELS
template <class F>
__global__ void for_each_kernel(int64_t n, F f) {
  for (int64_t i = blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x)
    f(i);
}

template <class F>
void launch(int64_t n, F f) {
  constexpr int block = 256;
  const int64_t blocks = std::min<int64_t>((n + block - 1) / block, 65535);
  launch_kernel(for_each_kernel<F>, blocks, block, 0, n, f);
}
#endif

// f(i) for every i in [0, n), in no order. The i must be independent of each other and cheap.
template <class F>
void for_each_index(Device device, int64_t n, F f) {
#ifdef POPH_KERNELS
  if (device == Device::cuda) return launch(n, f);
#endif
  (void)device;
  const int64_t blocks = (n + loop_block - 1) / loop_block;
  if (blocks <= 1) return run_loop(0, n, f);
#pragma omp parallel for schedule(static) if (blocks >= parallel_blocks)
  for (int64_t block = 0; block < blocks; ++block)
    run_loop(block * loop_block, std::min(n, (block + 1) * loop_block), f);
}

// The same where each f(i) is itself a loop over `work` elements (a row): its own inner loops are vectorised.
template <class F>
void for_each_row(Device device, int64_t n, int64_t work, F f) {
#ifdef POPH_KERNELS
  if (device == Device::cuda) return launch(n, f);
#endif
  (void)device;
  const int64_t rows_per_block = std::max<int64_t>(1, loop_block / std::max<int64_t>(1, work));
  const int64_t blocks = (n + rows_per_block - 1) / rows_per_block;
  if (blocks <= 1) return run_rows(0, n, f);
#pragma omp parallel for schedule(static) if (blocks >= parallel_blocks)
  for (int64_t block = 0; block < blocks; ++block)
    run_rows(block * rows_per_block, std::min(n, (block + 1) * rows_per_block), f);
}

// Calls f with a value of the C++ type behind a floating dtype.
template <class F>
void visit_dtype(Dtype dtype, F&& f) {
  if (dtype == Dtype::f32) return f(float{});
  if (dtype == Dtype::bf16) return f(bf16{});
  require(dtype == Dtype::f64, "expected f32, f64 or bf16, found ", dtype);
  f(double{});
}
// The same for numbers that are never bf16: parameters and their moments, and forms that have no bf16 variant.
template <class F>
void visit_wide_dtype(Dtype dtype, F&& f) {
  if (dtype == Dtype::f32) return f(float{});
  require(dtype == Dtype::f64, "expected f32 or f64, found ", dtype);
  f(double{});
}

// tanh as the quotient of two polynomials, within 4e-7 of the true value (coefficients of Eigen's and XLA's float
// tanh). Plain arithmetic, so that every compiler vectorises the loops it stands in. V: float, or a vector of them.
template <class V>
POPH_HD V tanh_of(V value) {
  const V x = value < -7.90531110763549805f  ? -7.90531110763549805f
              : value > 7.90531110763549805f ? 7.90531110763549805f
                                             : value;
  const V x2 = x * x;
  V p = -2.76076847742355e-16f * x2 + 2.00018790482477e-13f;
  p = p * x2 + -8.60467152213735e-11f;
  p = p * x2 + 5.12229709037114e-08f;
  p = p * x2 + 1.48572235717979e-05f;
  p = p * x2 + 6.37261928875436e-04f;
  p = p * x2 + 4.89352455891786e-03f;
  V q = 1.19825839466702e-06f * x2 + 1.18534705686654e-04f;
  q = q * x2 + 2.26843463243900e-03f;
  q = q * x2 + 4.89352518554385e-03f;
  return x * p / q;
}
template <>
POPH_HD double tanh_of(double x) {
  return std::tanh(x);  // the library's
}

template <class V>
POPH_HD V sigmoid_of(V x) {
  if constexpr (std::is_same_v<V, double>)
    return 0.5 * tanh_of(0.5 * x) + 0.5;
  else
    return 0.5f * tanh_of(0.5f * x) + 0.5f;
}

// 1 for NaN and the infinities, else 0; of bf16, float or double.
template <class T>
struct NotFinite {  // by the bits: kernel files are compiled with -ffast-math, which assumes that isnan is never true
  POPH_HD int64_t operator()(T x) const {
    if constexpr (sizeof(T) == 2) {
      return (x.bits & 0x7f80u) == 0x7f80u;
    } else if constexpr (sizeof(T) == 4) {
      union {
        float value;
        uint32_t bits;
      } view{x};
      return (view.bits & 0x7f800000u) == 0x7f800000u;
    } else {
      union {
        double value;
        uint64_t bits;
      } view{x};
      return (view.bits & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
    }
  }
};

}  // namespace poph
