#pragma once
#include <type_traits>

#include "tensor/tensor.h"

// The CPU's own float32 matrix kernel: a few rows of A times a panel of columns that was laid out in the order in which
// it is read. Every element is one sum in the order of k, whatever rows or columns are computed beside it. Only kernel
// sources include this.

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed between functions that are always inlined

#define POPH_INLINE inline __attribute__((always_inline))

namespace poph {

// The instructions that the processor has.
enum class CpuLevel { baseline, avx2, avx512 };
CpuLevel cpu_level();
// For tests: as on a lesser processor. What was packed before must not be used after.
void limit_cpu_level(CpuLevel max);

// The tile of a level's kernel: R rows of G vectors of W numbers, as many sums as the registers hold beside one vector
// of A and G of B. A panel is G vectors wide, or fewer at the right edge.
template <int W_, int R_, int G_>
struct TileOf {
  static constexpr int W = W_, R = R_, G = G_;
};
using Avx512Tile = TileOf<16, 6, 4>;  // 32 registers
// 16 registers: measured at twice the speed of 3 x 4, which reads each row of a panel twice as often
using Avx2Tile = TileOf<8, 6, 2>;
using BaselineTile = TileOf<4, 6, 2>;  // 16 registers

constexpr int64_t max_vector = 16;  // numbers: vectors of any level fit into multiples of this
inline int64_t padded(int64_t n) { return (n + max_vector - 1) / max_vector * max_vector; }
// From row to row of a matrix in a cache: no power of two, which would send all rows to the same few cache lines.
inline int64_t padded_stride(int64_t width) { return padded(width) + max_vector; }

template <int W>
struct Simd {
  typedef float Vector __attribute__((vector_size(W * sizeof(float))));
  typedef float Unaligned __attribute__((vector_size(W * sizeof(float)), aligned(4), may_alias));
};
template <int W>
POPH_INLINE typename Simd<W>::Vector load(const float* from) {
  return *reinterpret_cast<const typename Simd<W>::Unaligned*>(from);
}
template <int W>  // the first `count` of them, zeros behind
POPH_INLINE typename Simd<W>::Vector load(const float* from, int64_t count) {
  if (count >= W) return load<W>(from);
  typename Simd<W>::Vector x = {};
  for (int64_t i = 0; i < count; ++i) x[i] = from[i];
  return x;
}
template <int W>
POPH_INLINE void store(float* to, typename Simd<W>::Vector x, int64_t count = W) {  // the first `count` of them
  if (count >= W) {
    *reinterpret_cast<typename Simd<W>::Unaligned*>(to) = x;
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = x[i];
  }
}

// sum[r][g] += A[r, :] B[:, g * W ..]. A is read at row * row_stride + k * k_stride; the panel at k * G * W.
template <int W, int R, int G>
POPH_INLINE void multiply(typename Simd<W>::Vector (&sum)[R][G], const float* a, int64_t row_stride, int64_t k_stride,
                          const float* panel, int64_t depth) {
  for (int64_t k = 0; k < depth; ++k) {
    typename Simd<W>::Vector b[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) b[g] = load<W>(panel + g * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const float factor = a[r * row_stride];
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) sum[r][g] += factor * b[g];
    }
    a += k_stride;
    panel += G * W;
  }
}

// Compiles a kernel for three kinds of processor and calls the one for this. Kernel: `template <class Tile> void run()
// const`.
#if defined(__x86_64__)
template <class Kernel>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512"))) void run_avx512(
    const Kernel& kernel) {
  kernel.template run<Avx512Tile>();
}
template <class Kernel>
__attribute__((target("avx2,fma"))) void run_avx2(const Kernel& kernel) {
  kernel.template run<Avx2Tile>();
}
#endif
template <class Kernel>
void run_kernel(const Kernel& kernel) {
#if defined(__x86_64__)
  const CpuLevel level = cpu_level();
  if (level == CpuLevel::avx512) return run_avx512(kernel);
  if (level == CpuLevel::avx2) return run_avx2(kernel);
#endif
  kernel.template run<BaselineTile>();
}

// Calls f(integral_constant<R>, first row) for tiles of R rows, and for what is left.
template <int R, class F>
POPH_INLINE void for_each_tile_of_rows(int64_t rows, F f) {
  int64_t row = 0;
  for (; row + R <= rows; row += R) f(std::integral_constant<int, R>{}, row);
  if constexpr (R > 1) {
    if (row < rows)
      for_each_tile_of_rows<R - 1>(
          rows - row, [&](auto tile, int64_t first) __attribute__((always_inline)) { f(tile, row + first); });
  }
}

// C [rows, columns] = A [rows, depth] B, B in panels: pack_columns. Runs on the calling thread.
struct PanelProduct {
  int64_t rows, columns, depth;
  const float* a;
  int64_t a_row_stride, a_k_stride;
  const float* panels;
  float* c;
  int64_t c_stride;
  bool add;                      // to what C holds
  int64_t packed_depth = depth;  // of the panels: B may be the first rows of what was packed
  void operator()() const;
};

// Elements that the panels of a [depth, n] matrix take.
inline int64_t panel_elements(int64_t depth, int64_t n) { return depth * padded(n); }
int64_t panel_width();  // columns of a whole panel, at this level
// B [depth, n], rows `stride` apart, into panels: panel p begins at element p panel_width() depth.
void pack_row(const float* row, int64_t k, int64_t depth, int64_t n, float* panels);  // row k of B; nullptr: zeros
void pack_columns(const float* b, int64_t stride, int64_t depth, int64_t n, float* panels);
// The same of B' [n, depth].
void pack_transposed(const float* b, int64_t stride, int64_t depth, int64_t n, float* panels);

}  // namespace poph
