#include "tensor/panels.h"

#include <algorithm>
#include <atomic>
#include <cstring>

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

std::atomic<CpuLevel> highest = CpuLevel::avx512;

// One panel of G groups.
template <int G>
struct OnePanel {
  const PanelProduct& product;
  const float* panel;
  float* c;
  int64_t columns;

  template <int W, int R>
  POPH_INLINE void run() const {
    for_each_tile_of_rows<R>(
        product.rows, [&](auto tile, int64_t row) __attribute__((always_inline)) {
          constexpr int height = decltype(tile)::value;
          for (int64_t part = 0; part < lanes; part += W) {
            typename Simd<W>::Vector sum[height][G] = {};
            multiply<W, height, G>(sum, product.a + row * product.a_row_stride, product.a_row_stride, product.a_k_stride,
                                   panel + part, product.depth);
#pragma GCC unroll 8
            for (int r = 0; r < height; ++r)
#pragma GCC unroll 4
              for (int g = 0; g < G; ++g) {
                const int64_t column = g * lanes + part;
                float* to = c + (row + r) * product.c_stride + column;
                const int64_t count = columns - column;
                if (product.add && count >= W) {
                  store<W>(to, load<W>(to) + sum[r][g], count);
                } else if (product.add) {
                  for (int64_t i = 0; i < count; ++i) to[i] += sum[r][g][i];
                } else if (count > 0) {
                  store<W>(to, sum[r][g], count);
                }
              }
          }
        });
  }
};

}  // namespace

CpuLevel cpu_level() {
  static const CpuLevel detected = detected_level();
  return std::min(detected, highest.load(std::memory_order_relaxed));
}
void limit_cpu_level(CpuLevel most) { highest = most; }

void PanelProduct::operator()() const {
  for (int64_t first = 0; first < columns; first += panel_width) {
    const int64_t count = std::min(panel_width, columns - first);
    const float* panel = panels + first * depth;
    float* to = c + first;
    switch (padded(count) / lanes) {
      case 1:
        run_kernel(OnePanel<1>{*this, panel, to, count});
        break;
      case 2:
        run_kernel(OnePanel<2>{*this, panel, to, count});
        break;
      case 3:
        run_kernel(OnePanel<3>{*this, panel, to, count});
        break;
      default:
        run_kernel(OnePanel<4>{*this, panel, to, count});
    }
  }
}

void pack_row(const float* row, int64_t k, int64_t depth, int64_t n, float* panels) {
  for (int64_t first = 0; first < n; first += panel_width) {
    const int64_t count = std::min(panel_width, n - first), width = padded(count);
    float* to = panels + first * depth + k * width;
    if (!row) {
      std::fill_n(to, width, 0.0f);
    } else if (count == panel_width) {
      std::memcpy(to, row + first, panel_width * sizeof(float));  // a constant size: no call
    } else {
      std::copy_n(row + first, count, to);
      std::fill(to + count, to + width, 0.0f);
    }
  }
}

void pack_columns(const float* b, int64_t stride, int64_t depth, int64_t n, float* panels) {
  for (int64_t k = 0; k < depth; ++k) pack_row(b + k * stride, k, depth, n, panels);
}

}  // namespace poph
