#include "tensor/cpu/packed_gemm.h"

#include <algorithm>

#include "tensor/cpu/packed_panels.h"

// Two products in which one size is very large: all rows of A meet one packed B, or a sum over very many terms is cut
// into shares. Work is cut at fixed bounds, whatever the number of threads.
namespace poph {
namespace {

constexpr int64_t block_rows = 96;  // of A and C
constexpr int64_t max_shares = 16;  // partial sums of a product over very many k
constexpr int64_t chunk = 192;      // so many k of a share at a time
constexpr int64_t min_side = 16;    // smaller sides leave most of a tile unused
// Elements: larger panels and sums leave the caches.
constexpr int64_t max_panels = 1 << 20, max_sums = 1 << 18;

// Few columns of B, many rows of A: B is packed once, threads take blocks of rows.
void many_rows(bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
               int64_t ldb, bool add, float* c, int64_t ldc) {
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
void many_terms(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, bool add,
                float* c, int64_t ldc) {
  const int64_t chunks = (k + chunk - 1) / chunk, shares = std::min(chunks, max_shares), stride = padded_stride(m);
  const Tensor sums = Tensor::zeros({shares, m * n}, Dtype::f32),
               panels({shares, panel_elements(chunk, n)}, Dtype::f32), rows({shares, chunk * stride}, Dtype::f32);
#pragma omp parallel for schedule(dynamic)
  for (int64_t share = 0; share < shares; ++share) {
    const auto own = [share](const Tensor& of) { return of.data<float>() + share * of.shape()[1]; };
    float *const packed = own(panels), *const part = own(rows);
    for (int64_t i = share * chunks / shares; i < (share + 1) * chunks / shares; ++i) {
      const int64_t first = i * chunk, depth = std::min(chunk, k - first);
      for (int64_t term = 0; term < depth; ++term) {
        std::copy_n(a + (first + term) * lda, m, part + term * stride);
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

bool gemm_packed(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                 const float* b, int64_t ldb, bool add, float* c, int64_t ldc) {
  if (!transpose_a && m >= 4 * block_rows && n >= min_side && k >= min_side && n * k <= max_panels) {
    many_rows(transpose_b, m, n, k, a, lda, b, ldb, add, c, ldc);
    return true;
  }
  if (transpose_a && !transpose_b && k >= 8 * chunk && m >= min_side && n >= min_side && m * n <= max_sums) {
    many_terms(m, n, k, a, lda, b, ldb, add, c, ldc);
    return true;
  }
  return false;
}

}  // namespace poph
