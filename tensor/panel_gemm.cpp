#include "tensor/panel_gemm.h"

#include <algorithm>

#include "tensor/panels.h"

namespace poph {
namespace {

// Work is cut by these, whatever the number of threads.
constexpr int64_t block_rows = 96;   // of A and C
constexpr int64_t most_shares = 16;  // partial sums of a product over very many k
constexpr int64_t chunk = 192;       // so many k of a share at a time

// Few columns of B, many rows of A: B is packed once, threads take blocks of rows.
void many_rows(bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
               bool add, float* c, int64_t ldc) {
  const Tensor panels({panel_elements(k, n)}, Dtype::f32), row({n}, Dtype::f32);
  for (int64_t i = 0; i < k; ++i) {
    if (transpose_b)
      for (int64_t j = 0; j < n; ++j) row.data<float>()[j] = b[j * ldb + i];
    pack_row(transpose_b ? row.data<float>() : b + i * ldb, i, k, n, panels.data<float>());
  }
  const float* packed = panels.data<float>();
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < m; first += block_rows)
    PanelProduct{std::min(block_rows, m - first), n, k, a + first * lda, lda, 1, packed, c + first * ldc, ldc, add}();
}

// A' B, a sum over very many rows of both: each share sums its part of them.
void many_terms(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, bool add, float* c,
                int64_t ldc) {
  const int64_t chunks = (k + chunk - 1) / chunk, shares = std::min(chunks, most_shares), stride = padded(m) + widest;
  const Tensor sums = Tensor::zeros({shares, m * n}, Dtype::f32), panels({shares, panel_elements(chunk, n)}, Dtype::f32),
               rows({shares, chunk * stride}, Dtype::f32);
#pragma omp parallel for schedule(dynamic)
  for (int64_t share = 0; share < shares; ++share) {
    const auto own = [share](const Tensor& of) { return of.data<float>() + share * of.shape()[1]; };
    float *const packed = own(panels), *const part = own(rows);
    for (int64_t i = share * chunks / shares; i < (share + 1) * chunks / shares; ++i) {
      const int64_t first = i * chunk, depth = std::min(chunk, k - first);
      for (int64_t term = 0; term < depth; ++term) {
        std::copy_n(a + (first + term) * lda, m, part + term * stride);  // apart by no power of two
        pack_row(b + (first + term) * ldb, term, depth, n, packed);
      }
      PanelProduct{m, n, depth, part, 1, stride, packed, own(sums), n, true}();
    }
  }
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < m; ++row)
    for (int64_t column = 0; column < n; ++column) {
      float total = add ? c[row * ldc + column] : 0.0f;
      for (int64_t share = 0; share < shares; ++share) total += sums.data<float>()[share * m * n + row * n + column];
      c[row * ldc + column] = total;
    }
}

}  // namespace

bool gemm_panels(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
                 int64_t ldb, bool add, float* c, int64_t ldc) {
  if (!transpose_a && m >= 4 * block_rows && n >= 16 && k >= 16 && n * k <= 1 << 20) {
    many_rows(transpose_b, m, n, k, a, lda, b, ldb, add, c, ldc);
    return true;
  }
  if (transpose_a && !transpose_b && k >= 8 * chunk && m >= 16 && n >= 16 && m * n <= 1 << 18) {
    many_terms(m, n, k, a, lda, b, ldb, add, c, ldc);
    return true;
  }
  return false;
}

}  // namespace poph
