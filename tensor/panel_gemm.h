#pragma once
#include <cstdint>

namespace poph {

// A large float32 product on the CPU by our own kernel (panels.h), which beats BLAS where one matrix has very many rows: what
// layers multiply (all cells' inputs with a weight), and their weights' gradients (sums over all cells). Row-major.
// C = op(A) op(B), with `add` added to what C holds. False, and nothing done, where the sizes do not suit it.
bool gemm_panels(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
                 int64_t ldb, bool add, float* c, int64_t ldc);

}  // namespace poph
