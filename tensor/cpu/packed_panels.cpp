#include "tensor/cpu/packed_panels.h"

#include <algorithm>
#include <atomic>
#include <cstring>

// The kernel of packed_panels.h in all its tile sizes, the packing of its operands, and the choice of the level.
namespace poph {
namespace {

CpuLevel detected_level() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw"))
    return CpuLevel::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CpuLevel::avx2;
#endif
  return CpuLevel::baseline;
}

std::atomic<CpuLevel> max_level = CpuLevel::avx512;

constexpr int64_t depth_block = 256;  // a panel's part of so many rows stays in the first-level cache
constexpr int64_t shallow = 192;      // up to here all panels together stay in the second-level one

// Tiles of C, panel after panel for each part of the depth; or, where the depth is small and A's rows are few numbers,
// row after row, so that C passes through the caches once.
struct Product {
  const PanelProduct& p;

  template <class Tile>
  POPH_INLINE void run() const {
    const bool once = p.depth <= shallow;
    const int64_t block = once ? p.depth : depth_block;
    int64_t first_k = 0;
    do {
      const int64_t depth = std::min(block, p.depth - first_k);
      if (once && p.rows > p.columns) {
        for_each_tile_of_rows<Tile::R>(
            p.rows, [&](auto tile, int64_t row) __attribute__((always_inline)) {
              for (int64_t column = 0; column < p.columns; column += Tile::G * Tile::W)
                panel<Tile, decltype(tile)::value>(row, column, first_k, depth);
            });
      } else {
        for (int64_t column = 0; column < p.columns; column += Tile::G * Tile::W)
          for_each_tile_of_rows<Tile::R>(
              p.rows, [&](auto tile, int64_t row) __attribute__((always_inline)) {
                panel<Tile, decltype(tile)::value>(row, column, first_k, depth);
              });
      }
      first_k += depth;
    } while (first_k < p.depth);
  }

  template <class Tile, int R, int G = Tile::G>
  POPH_INLINE void panel(int64_t row, int64_t column, int64_t first_k, int64_t depth) const {
    const int64_t count = p.columns - column;
    if constexpr (G > 1)
      if (count <= (G - 1) * Tile::W) return panel<Tile, R, G - 1>(row, column, first_k, depth);
    constexpr int W = Tile::W;
    float* c = p.c + row * p.c_stride + column;
    const bool add = p.add || first_k > 0;
    if (add)  // C is far from the processor: it is fetched while the sums are made
      for (int r = 0; r < R; ++r) __builtin_prefetch(c + r * p.c_stride, 1);
    typename Simd<W>::Vector sum[R][G] = {};
    multiply<W, R, G>(sum, p.a + row * p.a_row_stride + first_k * p.a_k_stride, p.a_row_stride, p.a_k_stride,
                      p.panels + column * p.packed_depth + first_k * G * W, depth);
    if (add)
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) sum[r][g] += load<W>(c + r * p.c_stride + g * W, count - g * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) store<W>(c + r * p.c_stride + g * W, sum[r][g], count - g * W);
  }
};

struct Layout {
  int64_t lanes, width;  // of a vector, and of a whole panel
};
template <class Tile>
constexpr Layout layout_of{Tile::W, Tile::W* Tile::G};
Layout layout() {
  const CpuLevel level = cpu_level();
  return level == CpuLevel::avx512 ? layout_of<Avx512Tile>
         : level == CpuLevel::avx2 ? layout_of<Avx2Tile>
                                   : layout_of<BaselineTile>;
}

// Calls f(first column, columns, columns with padding) for each panel of an n columns wide matrix.
template <class F>
void for_each_panel(int64_t n, F f) {
  const auto [lanes, width] = layout();
  for (int64_t first = 0; first < n; first += width) {
    const int64_t count = std::min(width, n - first);
    f(first, count, (count + lanes - 1) / lanes * lanes);
  }
}

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel detected = detected_level();
  return std::min(detected, max_level.load(std::memory_order_relaxed));
}
void limit_cpu_level(CpuLevel max) { max_level = max; }

std::string cpu_kernels() {
  constexpr const char* names[] = {"baseline", "AVX2", "AVX-512"};
  return names[static_cast<int>(cpu_level())];
}

void PanelProduct::operator()() const { run_kernel(Product{*this}); }

int64_t panel_width() { return layout().width; }

// A row's part in one panel.
static void pack_part(const float* part, int64_t count, int64_t width, float* to) {
  if (!part) {
    std::fill_n(to, width, 0.0f);
  } else if (count == max_vector) {
    std::memcpy(to, part, max_vector * sizeof(float));  // a constant size: no call
  } else {
    std::copy_n(part, count, to);
    std::fill(to + count, to + width, 0.0f);
  }
}

void pack_row(const float* row, int64_t k, int64_t depth, int64_t n, float* panels) {
  for_each_panel(n, [&](int64_t first, int64_t count, int64_t width) {
    pack_part(row ? row + first : nullptr, count, width, panels + first * depth + k * width);
  });
}

void pack_columns(const float* b, int64_t stride, int64_t depth, int64_t n, float* panels) {
  for_each_panel(n, [&](int64_t first, int64_t count, int64_t width) {
    for (int64_t k = 0; k < depth; ++k)
      pack_part(b + k * stride + first, count, width, panels + first * depth + k * width);
  });
}

// In squares of 4 x 4, which two rounds of shuffles transpose.
void pack_transposed(const float* b, int64_t stride, int64_t depth, int64_t n, float* panels) {
  using Four = Simd<4>::Vector;
  for_each_panel(n, [&](int64_t first, int64_t count, int64_t width) {
    const float* from = b + first * stride;
    float* to = panels + first * depth;
    const int64_t whole_columns = count / 4 * 4, whole_depth = depth / 4 * 4;
    for (int64_t j = 0; j < whole_columns; j += 4)
      for (int64_t k = 0; k < whole_depth; k += 4) {
        const float* corner = from + j * stride + k;
        const Four row0 = load<4>(corner), row1 = load<4>(corner + stride), row2 = load<4>(corner + 2 * stride),
                   row3 = load<4>(corner + 3 * stride);
        const Four low01 = __builtin_shufflevector(row0, row1, 0, 4, 1, 5),
                   low23 = __builtin_shufflevector(row2, row3, 0, 4, 1, 5),
                   high01 = __builtin_shufflevector(row0, row1, 2, 6, 3, 7),
                   high23 = __builtin_shufflevector(row2, row3, 2, 6, 3, 7);
        float* square = to + k * width + j;
        store<4>(square, __builtin_shufflevector(low01, low23, 0, 1, 4, 5));
        store<4>(square + width, __builtin_shufflevector(low01, low23, 2, 3, 6, 7));
        store<4>(square + 2 * width, __builtin_shufflevector(high01, high23, 0, 1, 4, 5));
        store<4>(square + 3 * width, __builtin_shufflevector(high01, high23, 2, 3, 6, 7));
      }
    for (int64_t k = 0; k < depth; ++k)  // the rest beside the squares, and zeros behind the columns
      for (int64_t j = k < whole_depth ? whole_columns : 0; j < width; ++j)
        to[k * width + j] = j < count ? from[j * stride + k] : 0;
  });
}

}  // namespace poph
