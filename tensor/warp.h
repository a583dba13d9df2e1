#pragma once
#include "tensor/kernel.h"
#include "tensor/parallel.h"

#ifdef POPH_KERNELS
// The building blocks of kernels by blocks and by warps.
namespace poph {

constexpr int warp_size = 32;

// All lanes of a warp must call these together. All get the result, and the same bits, for each step adds the same two
// numbers.

template <int lanes = warp_size, class A>  // of `lanes` neighbours
__device__ A warp_sum(A value) {
  for (int apart = lanes / 2; apart > 0; apart /= 2) value += __shfl_xor_sync(0xffffffffu, value, apart);
  return value;
}

template <int lanes = warp_size, class A>
__device__ A warp_max(A value) {
  for (int apart = lanes / 2; apart > 0; apart /= 2) {
    const A other = __shfl_xor_sync(0xffffffffu, value, apart);
    value = other > value ? other : value;
  }
  return value;
}

template <class T, int count>
struct alignas(count * sizeof(T)) Neighbours {  // moved in one go
  T value[count];
};
template <int count, class T>
__device__ Neighbours<T, count> read(const T* from) {
  return *reinterpret_cast<const Neighbours<T, count>*>(from);
}
template <int count, class T>
__device__ void write(T* to, const Neighbours<T, count>& from) {
  *reinterpret_cast<Neighbours<T, count>*>(to) = from;
}

// A lane's share of a row, every 32nd element: read once into registers where there are at most `held` of them, and
// otherwise (held is 0) again from memory, which by then is the nearest cache, in each pass.
template <class T, int held>
class LaneShare {
  using A = accumulate_t<T>;

 public:
  __device__ LaneShare(const T* row, int64_t width) : row_(row), width_(width), lane_(threadIdx.x % warp_size) {
    if constexpr (held > 0) {
      for (int k = 0; k < held; ++k) values_[k] = at(k) < width_ ? A(row_[at(k)]) : A(0);
    }
  }
  template <class F>
  __device__ void each(F f) const {  // f(index in the row, value)
    if constexpr (held > 0) {
      for (int k = 0; k < held; ++k)
        if (at(k) < width_) f(at(k), values_[k]);
    } else {
      for (int64_t i = lane_; i < width_; i += warp_size) f(i, A(row_[i]));
    }
  }
  template <class F>
  __device__ void each_with(const LaneShare& other, F f) const {  // f(index, value, the other row's value)
    if constexpr (held > 0) {
      for (int k = 0; k < held; ++k)
        if (at(k) < width_) f(at(k), values_[k], other.values_[k]);
    } else {
      for (int64_t i = lane_; i < width_; i += warp_size) f(i, A(row_[i]), A(other.row_[i]));
    }
  }

 private:
  __device__ int at(int k) const { return lane_ + k * warp_size; }
  const T* row_;
  int64_t width_;
  int lane_;
  A values_[held > 0 ? held : 1];
};

constexpr int rows_per_block = 4;  // a warp each

template <int held, class F>
__global__ void warp_rows_kernel(int64_t rows, F f) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * rows_per_block + threadIdx.x / warp_size;
  if (row < rows) f.template warp<held>(row);
}

// f.warp<held>(row) by one warp for every row.
template <class F>
void launch_warp_rows(int64_t rows, int64_t width, F f) {
  constexpr int held = 8;
  launch_kernel(width <= held * warp_size ? warp_rows_kernel<held, F> : warp_rows_kernel<0, F>,
                (rows + rows_per_block - 1) / rows_per_block, rows_per_block * warp_size, 0, rows, f);
}

}  // namespace poph
#endif
