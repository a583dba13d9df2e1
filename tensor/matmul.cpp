#include <cblas.h>
#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "tensor/cpu/packed_gemm.h"
#include "tensor/gemm.h"
#include "tensor/ops.h"

// Matrix products: cuBLAS on the GPU, OpenBLAS and our own kernels (cpu/) on the CPU. The CPU's products are cut at
// fixed bounds and each call of BLAS runs on one thread, so that the number of threads does not change a bit.
// OpenBLAS's own, for the buffers of its products. Weak: a build of it may keep them to itself.
extern "C" {
__attribute__((weak)) void* blas_memory_alloc(int where);
__attribute__((weak)) void blas_memory_free(void* buffer);
}

namespace poph {
namespace {

// The CPU splits a product at multiples of these, whatever the number of threads, and never along k: an element's sum
// has one order.
constexpr int64_t tile_rows = 256, tile_columns = 512;
constexpr double flops_worth_threads = 2e7;  // of a product: below it waking threads costs more than it saves
constexpr int64_t small_rows = 8;            // up to here a product is a few dot products for each column
constexpr int64_t few_products = 8;          // of a batch: below it each product is split, and not shared out whole

// While one lives, BLAS runs on the calling thread alone. OpenBLAS comes in three builds under one name and the loader
// picks: with its own threads or OpenMP's a large product would be split by their number, which changes bits; the
// sequential build shares its work buffers between callers without a lock (measured: wrong sums), so its calls take
// turns.
class OneBlasThread {
 public:
  OneBlasThread() {
    static const int build = [] {
      const int found = openblas_get_parallel();
      if (found == OPENBLAS_THREAD) openblas_set_num_threads(1);
      return found;
    }();
    if (build == OPENBLAS_SEQUENTIAL) lock_ = std::unique_lock(mutex());
    if (build == OPENBLAS_OPENMP && !omp_in_parallel()) {
      threads_before_ = omp_get_max_threads();
      omp_set_num_threads(1);
    }
  }
  ~OneBlasThread() {
    if (threads_before_) omp_set_num_threads(threads_before_);
  }

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  std::unique_lock<std::mutex> lock_;
  int threads_before_ = 0;
};

void cblas_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda,
                const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  const OneBlasThread one_thread;
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, lda, b,
              ldb, beta, c, ldc);
}
void cblas_call(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double* a, int64_t lda,
                const double* b, int64_t ldb, double beta, double* c, int64_t ldc) {
  const OneBlasThread one_thread;
  cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, lda, b,
              ldb, beta, c, ldc);
}

// OpenBLAS as it is distributed has no products of bf16 matrices: they become float32, a part of k at a time, which
// bounds the copies. The sums are float32 until the end, where a bf16 result is rounded once.
constexpr int64_t bf16_depth = 1024;

void widen(const bf16* from, int64_t stride, float* to, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) to[row * columns + column] = from[row * stride + column];
}

template <class To>
void bf16_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const bf16* a, int64_t lda,
               const bf16* b, int64_t ldb, float beta, To* c, int64_t ldc) {
  const int64_t depth = std::min(k, bf16_depth);
  thread_local std::vector<float> scratch;
  scratch.resize(std::max<size_t>(scratch.size(), (m + n) * depth + m * n));
  float* const a_part = scratch.data();
  float* const b_part = a_part + m * depth;
  float* const sums = b_part + n * depth;
  std::fill(sums, sums + m * n, 0.0f);
  for (int64_t first = 0; first < k; first += depth) {
    const int64_t count = std::min(depth, k - first);
    widen(a + (ta ? first * lda : first), lda, a_part, ta ? count : m, ta ? m : count);
    widen(b + (tb ? first : first * ldb), ldb, b_part, tb ? n : count, tb ? count : n);
    cblas_call(ta, tb, m, n, count, alpha, a_part, ta ? m : count, b_part, tb ? count : n, 1, sums, n);
  }
  for (int64_t row = 0; row < m; ++row)
    for (int64_t column = 0; column < n; ++column) {
      To& to = c[row * ldc + column];
      to = To(sums[row * n + column] + (beta == 0 ? 0 : beta * static_cast<float>(to)));
    }
}

// The part of a gemm that one thread does; what an OpenMP loop over tiles calls.
template <class T, class To>
void gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, accumulate_t<T> alpha, const T* a, int64_t lda,
                 const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  if constexpr (std::is_same_v<T, bf16>) {
    bf16_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  } else {
    if (m <= small_rows && !ta && tb) return gemm_small(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    cblas_call(ta, tb, m, n, k, alpha, a, std::max<int64_t>(lda, 1), b, std::max<int64_t>(ldb, 1), beta, c, ldc);
  }
}

#if POPH_CUDA
static_assert(sizeof(bf16) == 2 && std::is_trivially_copyable_v<bf16>);  // cuBLAS reads it as its own
template <class T>
constexpr cudaDataType_t cuda_type = sizeof(T) == 8   ? CUDA_R_64F
                                     : sizeof(T) == 4 ? CUDA_R_32F
                                                      : CUDA_R_16BF;

// cuBLAS is column-major: the row-major C = A B is its C' = B' A'.
template <class T, class To>
void cublas_call(Batched batch, bool ta, bool tb, int64_t m, int64_t n, int64_t k, accumulate_t<T> alpha, const T* a,
                 int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc) {
  if (k == 0 && beta == 0) {  // an empty sum: cuBLAS refuses its lda and ldb
    for (int64_t i = 0; i < batch.count; ++i)
      check(cudaMemset2DAsync(c + i * batch.stride_c, ldc * sizeof(To), 0, n * sizeof(To), m, stream()));
    return;
  }
  const auto op_a = ta ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = tb ? CUBLAS_OP_T : CUBLAS_OP_N;
  const bool tf32 = sizeof(T) == 4 && Tf32Products::allowed();
  const auto compute = sizeof(T) == 8 ? CUBLAS_COMPUTE_64F : tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(cublasGemmStridedBatchedEx(cublas(), op_b, op_a, n, m, k, &alpha, b, cuda_type<T>, std::max<int64_t>(ldb, 1),
                                   batch.stride_b, a, cuda_type<T>, std::max<int64_t>(lda, 1), batch.stride_a, &beta, c,
                                   cuda_type<To>, ldc, batch.stride_c, batch.count, compute, CUBLAS_GEMM_DEFAULT));
}
#endif

}  // namespace

void require_work_memory() {
  constexpr size_t buffer = size_t{128} << 20;  // of OpenBLAS on x86-64, built for its maximum of cores
  const size_t threads = static_cast<size_t>(omp_get_max_threads()), bytes = buffer * (threads + 1);
  void* room = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED)
    throw OutOfMemory(joined("out of memory: found less address space than the ", bytes >> 20, " MB that ", threads,
                             " threads may need for products of matrices (ulimit -v?)"));
  munmap(room, bytes);
  // A product that finds no memory for a buffer looks for it for ever. OpenBLAS keeps the buffers that it once had.
  if (!blas_memory_alloc || !blas_memory_free) return;
  std::vector<void*> buffers(std::min<size_t>(threads, 64));
  for (void*& one : buffers) one = blas_memory_alloc(0);
  for (void* one : buffers) blas_memory_free(one);
}

std::string blas_name() { return joined(openblas_get_config(), " ", openblas_get_corename()); }

template <class T, class To>
void gemm(Device device, bool ta, bool tb, int64_t m, int64_t n, int64_t k, accumulate_t<T> alpha, const T* a,
          int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
#if POPH_CUDA
  if (device == Device::cuda) return cublas_call<T>({1, 0, 0, 0}, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#endif
  (void)device;
  if constexpr (std::is_same_v<T, float>)
    if (alpha == 1 && (beta == 0 || beta == 1) && !omp_in_parallel() &&
        gemm_packed(ta, tb, m, n, k, a, lda, b, ldb, beta == 1, c, ldc))
      return;
  const int64_t row_tiles = (m + tile_rows - 1) / tile_rows, column_tiles = (n + tile_columns - 1) / tile_columns;
  const bool worth_it = row_tiles * column_tiles > 1 && 2.0 * m * n * k > flops_worth_threads;
#pragma omp parallel for schedule(dynamic) if (worth_it && !omp_in_parallel())
  for (int64_t tile = 0; tile < row_tiles * column_tiles; ++tile) {
    const int64_t row = tile / column_tiles * tile_rows, column = tile % column_tiles * tile_columns;
    gemm_serial(ta, tb, std::min(tile_rows, m - row), std::min(tile_columns, n - column), k, alpha,
                a + (ta ? row : row * lda), lda, b + (tb ? column * ldb : column), ldb, beta, c + row * ldc + column,
                ldc);
  }
}

template <class T, class To>
void gemm_batched(Device device, Batched batch, bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                  accumulate_t<T> alpha, const T* a, int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c,
                  int64_t ldc) {
  if (batch.count == 0 || m == 0 || n == 0) return;
#if POPH_CUDA
  if (device == Device::cuda) return cublas_call<T>(batch, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#endif
  if (batch.count < few_products) {
    for (int64_t i = 0; i < batch.count; ++i)
      gemm(device, ta, tb, m, n, k, alpha, a + i * batch.stride_a, lda, b + i * batch.stride_b, ldb, beta,
           c + i * batch.stride_c, ldc);
    return;
  }
#pragma omp parallel for schedule(static) if (!omp_in_parallel())
  for (int64_t i = 0; i < batch.count; ++i)
    gemm_serial(ta, tb, m, n, k, alpha, a + i * batch.stride_a, lda, b + i * batch.stride_b, ldb, beta,
                c + i * batch.stride_c, ldc);
}

#define POPH_INSTANTIATE(T, To)                                                                                        \
  template void gemm<T, To>(Device, bool, bool, int64_t, int64_t, int64_t, accumulate_t<T>, const T*, int64_t,         \
                            const T*, int64_t, accumulate_t<T>, To*, int64_t);                                         \
  template void gemm_batched<T, To>(Device, Batched, bool, bool, int64_t, int64_t, int64_t, accumulate_t<T>, const T*, \
                                    int64_t, const T*, int64_t, accumulate_t<T>, To*, int64_t);
POPH_INSTANTIATE(float, float)
POPH_INSTANTIATE(double, double)
POPH_INSTANTIATE(bf16, bf16)
POPH_INSTANTIATE(bf16, float)
#undef POPH_INSTANTIATE

Tensor matmul(const Tensor& a, const Tensor& b, bool ta, bool tb, bool wide) {
  require(a.shape().rank() == 2 && b.shape().rank() == 2, "matmul: expected matrices, found ", a.shape(), " and ",
          b.shape());
  const int64_t m = a.shape()[ta ? 1 : 0], k = a.shape()[ta ? 0 : 1], n = b.shape()[tb ? 0 : 1];
  require(k == b.shape()[tb ? 1 : 0], "matmul: inner sizes differ, ", a.shape(), ta ? "'" : "", " and ", b.shape(),
          tb ? "'" : "");
  Tensor c({m, n}, wide ? accumulate_dtype(a.dtype()) : a.dtype(), a.device());
  const auto multiply = [&](auto from, auto to) {
    using T = decltype(from);
    gemm<T>(a.device(), ta, tb, m, n, k, 1, a.data<T>(), a.shape()[1], b.data<T>(), b.shape()[1], 0,
            c.data<decltype(to)>(), n);
  };
  if (a.dtype() == Dtype::f32)
    multiply(float{}, float{});
  else if (a.dtype() == Dtype::f64)
    multiply(double{}, double{});
  else if (wide)
    multiply(bf16{}, float{});
  else
    multiply(bf16{}, bf16{});
  return c;
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool wide) {
  require(weight.shape().rank() == 2 && x.shape().last() == weight.shape()[1], "linear: input ", x.shape(), ", weight ",
          weight.shape());
  const Tensor y = matmul(x.reshape({x.shape().rows(), x.shape().last()}), weight, false, true, wide);
  return (bias.defined() ? add_bias(y, bias) : y).reshape(x.shape().with(-1, weight.shape()[0]));
}

}  // namespace poph
