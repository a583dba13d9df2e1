#pragma once
#include <cstdint>

// The CPU's own products, where they beat BLAS. Matrices as in tensor/gemm.h.
namespace poph {

// A large float32 product by our own kernel (packed_panels.h), which beats BLAS where one matrix has very many rows:
// all cells' inputs times a layer's weight, and the weights' gradients, which are sums over all cells. C = op(A) op(B),
// with `add` added to what C holds. False, and nothing done, where the sizes do not suit it.
bool gemm_packed(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                 const float* b, int64_t ldb, bool add, float* c, int64_t ldc);

// C = alpha A B' + beta C for the few rows that composing has, where BLAS would first copy all of B into its own
// layout.
template <class T>
void gemm_small(int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb, T beta,
                T* c, int64_t ldc);

}  // namespace poph
