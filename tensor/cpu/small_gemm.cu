#include "tensor/cpu/packed_gemm.h"
#include "tensor/parallel.h"

// C = alpha A B' + beta C for the few rows that composing has, where BLAS would first copy all of B into its own
// layout. CPU only.
namespace poph {
namespace {

template <class T>
struct DotProducts {
  const T *a, *b;
  T* c;
  int64_t m, k, lda, ldb, ldc;
  T alpha, beta;
  POPH_HD void operator()(int64_t column) const {
    const T* weights = b + column * ldb;
    for (int64_t row = 0; row < m; ++row) {
      T total = T(0);
      for (int64_t i = 0; i < k; ++i) total += a[row * lda + i] * weights[i];
      T& to = c[row * ldc + column];
      to = beta == T(0) ? alpha * total : alpha * total + beta * to;
    }
  }
};

}  // namespace

template <class T>
void gemm_small(int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb, T beta,
                T* c, int64_t ldc) {
  run_rows(0, n, DotProducts<T>{a, b, c, m, k, lda, ldb, ldc, alpha, beta});
}

template void gemm_small<float>(int64_t, int64_t, int64_t, float, const float*, int64_t, const float*, int64_t, float,
                                float*, int64_t);
template void gemm_small<double>(int64_t, int64_t, int64_t, double, const double*, int64_t, const double*, int64_t,
                                 double, double*, int64_t);

}  // namespace poph
