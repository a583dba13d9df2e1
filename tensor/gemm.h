#pragma once
#include <string>

#include "tensor/tensor.h"

// Products of matrices in plain memory, below matmul and linear of ops.h. Matrices are row-major; lda, ldb and ldc are
// the elements from one row to the next. C = alpha op(A) op(B) + beta C, summed in accumulate_t<T>; To, the type of C,
// is T or accumulate_t<T>. The CPU's bits do not depend on the number of threads (matmul.cpp).
namespace poph {

template <class T, class To>
void gemm(Device device, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, accumulate_t<T> alpha,
          const T* a, int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc);

struct Batched {
  int64_t count, stride_a, stride_b, stride_c;  // elements from one matrix to the next
};
template <class T, class To>
void gemm_batched(Device device, Batched batch, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                  accumulate_t<T> alpha, const T* a, int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c,
                  int64_t ldc);

// The library that multiplies on the CPU: OpenBLAS's version and the kernels it picked.
std::string blas_name();

// Takes the work buffers of that library for as many threads as OpenMP starts with. Error where there is no address
// space for them: OpenBLAS would wait for it for ever, in the middle of a run. To be called when a program starts.
void require_work_memory();

}  // namespace poph
