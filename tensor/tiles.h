#pragma once
#include "tensor/warp.h"

#ifdef POPH_KERNELS
// Products of small float matrices in a block's shared memory. multiply_rows and add_weighted keep `Tiling`'s map of
// results to threads: an mma form would replace the three together.
namespace poph {

constexpr int tile_threads = 128, across = 8;  // across: threads beside each other in a tile, neighbours in a warp

template <int widest_head, int tile_side>
struct Tiling {
  static constexpr int side = tile_side, width = widest_head;
  // of one thread
  static constexpr int rows = side / (tile_threads / across), columns = side / across, depth = width / across;
  static constexpr int warp_rows = rows * (warp_size / across);
  // With these paddings the rows that a warp reads together start in different banks.
  static constexpr int stride = width + 4, weight_stride = side + 8;
  static constexpr int tile = side * stride, weights = side * weight_stride;
  static constexpr int vector = depth % 4 == 0 ? 4 : 2;  // neighbours in a row of values that a thread has

  static __device__ int lane() { return threadIdx.x % across; }
  // of the warp: no other one has its rows
  static __device__ int first_row() { return threadIdx.x / warp_size * warp_rows; }
  static __device__ int row(int i) { return first_row() + threadIdx.x % warp_size / across + i * (warp_size / across); }
  static __device__ int column(int j) { return lane() + j * across; }
  static __device__ int position(int d) { return lane() * vector + d / vector * vector * across + d % vector; }
};

// `count` rows of a head from [L, features]; zeros below them and beside them.
template <class S, class T>
__device__ void load_tile(float* tile, const T* from, int64_t features, int count, int width) {
  for (int i = threadIdx.x; i < S::side * S::width; i += tile_threads) {
    const int row = i / S::width, d = i % S::width;
    tile[row * S::stride + d] = row < count && d < width ? float(from[row * features + d]) : 0.0f;
  }
}

// product = A B', of a thread's rows of A and columns: rows of B.
template <class S>
__device__ void multiply_rows(const float* a, const float* b, int width, float (&product)[S::rows][S::columns]) {
  for (int i = 0; i < S::rows; ++i)
    for (int j = 0; j < S::columns; ++j) product[i][j] = 0;
  for (int d = 0; d < width; d += 4) {
    Neighbours<float, 4> left[S::rows];
    for (int i = 0; i < S::rows; ++i) left[i] = read<4>(a + S::row(i) * S::stride + d);
    for (int j = 0; j < S::columns; ++j) {
      const Neighbours<float, 4> right = read<4>(b + S::column(j) * S::stride + d);
      for (int i = 0; i < S::rows; ++i)
        for (int e = 0; e < 4; ++e) product[i][j] += left[i].value[e] * right.value[e];
    }
  }
}

// sum += weights * values, of the first `count` columns of weights.
template <class S>
__device__ void add_weighted(const float* weights, const float* values, int count, float (&sum)[S::rows][S::depth]) {
  for (int k = 0; k < count; k += 4) {
    Neighbours<float, 4> weight[S::rows];
    for (int i = 0; i < S::rows; ++i) weight[i] = read<4>(weights + S::row(i) * S::weight_stride + k);
    for (int e = 0; e < 4; ++e)
      for (int d = 0; d < S::depth; d += S::vector) {
        const Neighbours<float, S::vector> value = read<S::vector>(values + (k + e) * S::stride + S::position(d));
        for (int i = 0; i < S::rows; ++i)
          for (int n = 0; n < S::vector; ++n) sum[i][d + n] += weight[i].value[e] * value.value[n];
      }
  }
}

template <class S, class T>
__device__ void store_rows(const float (&sum)[S::rows][S::depth], T* to, int64_t features, int count, int width) {
  for (int i = 0; i < S::rows; ++i)
    for (int d = 0; d < S::depth; ++d)
      if (S::row(i) < count && S::position(d) < width) to[S::row(i) * features + S::position(d)] = T(sum[i][d]);
}

}  // namespace poph
#endif
