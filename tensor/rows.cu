#include "tensor/ops.h"
#include "tensor/parallel.h"
#include "tensor/warp.h"

// Softmax, layer norm and the minimum over the last axis. Each formula is there twice, side by side: as one thread's
// loop over a row, for the CPU, and as a warp's, for the GPU, whose lanes read neighbours.
namespace poph {
namespace {

template <class T>
struct SoftmaxRow {
  using A = accumulate_t<T>;
  const T* x;
  T* y;
  int64_t width;
  POPH_HD void operator()(int64_t row) const {
    const T* from = x + row * width;
    T* to = y + row * width;
    A largest = from[0], total = A(0);
    for (int64_t i = 1; i < width; ++i) largest = A(from[i]) > largest ? A(from[i]) : largest;
    if constexpr (std::is_same_v<T, A>) {
      for (int64_t i = 0; i < width; ++i) to[i] = std::exp(from[i] - largest);
      for (int64_t i = 0; i < width; ++i) total += to[i];
      const A factor = A(1) / total;
      for (int64_t i = 0; i < width; ++i) to[i] *= factor;
    } else {  // twice the exponentials, but each result is rounded once
      for (int64_t i = 0; i < width; ++i) total += std::exp(A(from[i]) - largest);
      const A factor = A(1) / total;
      for (int64_t i = 0; i < width; ++i) to[i] = T(std::exp(A(from[i]) - largest) * factor);
    }
  }
#ifdef POPH_KERNELS
  template <int held>
  __device__ void warp(int64_t row) const {
    const LaneShare<T, held> from(x + row * width, width);
    T* to = y + row * width;
    A largest = A(x[row * width]), total = A(0);
    from.each([&](int64_t, A value) { largest = value > largest ? value : largest; });
    largest = warp_max(largest);
    from.each([&](int64_t, A value) { total += std::exp(value - largest); });
    const A factor = A(1) / warp_sum(total);
    from.each([&](int64_t i, A value) { to[i] = T(std::exp(value - largest) * factor); });
  }
#endif
};

template <class T>
struct SoftmaxGradRow {
  using A = accumulate_t<T>;
  const T *y, *dy;
  T* dx;
  int64_t width;
  POPH_HD void operator()(int64_t row) const {
    const int64_t base = row * width;
    A dot = A(0);
    for (int64_t i = 0; i < width; ++i) dot += A(y[base + i]) * A(dy[base + i]);
    for (int64_t i = 0; i < width; ++i) dx[base + i] = T(A(y[base + i]) * (A(dy[base + i]) - dot));
  }
#ifdef POPH_KERNELS
  template <int held>
  __device__ void warp(int64_t row) const {
    const LaneShare<T, held> of_y(y + row * width, width), of_dy(dy + row * width, width);
    A dot = A(0);
    of_y.each_with(of_dy, [&](int64_t, A p, A dp) { dot += p * dp; });
    dot = warp_sum(dot);
    of_y.each_with(of_dy, [&](int64_t i, A p, A dp) { dx[row * width + i] = T(p * (dp - dot)); });
  }
#endif
};

template <class T>
struct LayerNormRow {
  using A = accumulate_t<T>;
  const T* x;
  const A *weight, *bias;
  T *y, *normalised;
  A* inverse_deviation;
  int64_t width;
  A epsilon;
  POPH_HD void operator()(int64_t row) const {
    const int64_t base = row * width;
    A mean = A(0), variance = A(0);
    for (int64_t i = 0; i < width; ++i) mean += A(x[base + i]);
    mean /= A(width);
    for (int64_t i = 0; i < width; ++i) variance += (A(x[base + i]) - mean) * (A(x[base + i]) - mean);
    const A inverse = A(1) / std::sqrt(variance / A(width) + epsilon);
    for (int64_t i = 0; i < width; ++i) {
      const A value = (A(x[base + i]) - mean) * inverse;
      normalised[base + i] = T(value);
      y[base + i] = T(value * weight[i] + bias[i]);
    }
    inverse_deviation[row] = inverse;
  }
#ifdef POPH_KERNELS
  template <int held>
  __device__ void warp(int64_t row) const {
    const LaneShare<T, held> from(x + row * width, width);
    A mean = A(0), variance = A(0);
    from.each([&](int64_t, A value) { mean += value; });
    mean = warp_sum(mean) / A(width);
    from.each([&](int64_t, A value) { variance += (value - mean) * (value - mean); });
    const A inverse = A(1) / std::sqrt(warp_sum(variance) / A(width) + epsilon);
    from.each([&](int64_t i, A value) {
      const A result = (value - mean) * inverse;
      normalised[row * width + i] = T(result);
      y[row * width + i] = T(result * weight[i] + bias[i]);
    });
    if (threadIdx.x % warp_size == 0) inverse_deviation[row] = inverse;
  }
#endif
};

template <class T>
struct LayerNormGradRow {
  using A = accumulate_t<T>;
  const T* normalised;
  const A *inverse_deviation, *weight;
  const T* dy;
  T* dx;
  int64_t width;
  POPH_HD void operator()(int64_t row) const {
    const int64_t base = row * width;
    A sum = A(0), sum_times = A(0);
    for (int64_t i = 0; i < width; ++i) {
      const A g = A(dy[base + i]) * weight[i];
      sum += g;
      sum_times += g * A(normalised[base + i]);
    }
    sum /= A(width);
    sum_times /= A(width);
    for (int64_t i = 0; i < width; ++i)
      dx[base + i] =
          T(inverse_deviation[row] * (A(dy[base + i]) * weight[i] - sum - A(normalised[base + i]) * sum_times));
  }
#ifdef POPH_KERNELS
  template <int held>
  __device__ void warp(int64_t row) const {
    const LaneShare<T, held> of_dy(dy + row * width, width), of_normalised(normalised + row * width, width);
    A sum = A(0), sum_times = A(0);
    of_dy.each_with(of_normalised, [&](int64_t i, A d, A n) {
      sum += d * weight[i];
      sum_times += d * weight[i] * n;
    });
    sum = warp_sum(sum) / A(width);
    sum_times = warp_sum(sum_times) / A(width);
    of_dy.each_with(of_normalised, [&](int64_t i, A d, A n) {
      dx[row * width + i] = T(inverse_deviation[row] * (d * weight[i] - sum - n * sum_times));
    });
  }
#endif
};

template <class T>
struct MinRow {
  const T* x;
  T* value;
  int32_t* index;
  int64_t width;
  POPH_HD void operator()(int64_t row) const {
    int32_t best = 0;
    for (int64_t i = 1; i < width; ++i)
      if (x[row * width + i] < x[row * width + best]) best = static_cast<int32_t>(i);
    index[row] = best;
    value[row] = x[row * width + best];
  }
#ifdef POPH_KERNELS
  template <int>
  __device__ void warp(int64_t row) const {
    const int lane = threadIdx.x % warp_size;
    int32_t best = lane < width ? lane : 0;
    T smallest = x[row * width + best];
    for (int64_t i = lane + warp_size; i < width; i += warp_size)
      if (x[row * width + i] < smallest) {
        smallest = x[row * width + i];
        best = static_cast<int32_t>(i);
      }
    for (int apart = warp_size / 2; apart > 0; apart /= 2) {
      const accumulate_t<T> other = __shfl_xor_sync(0xffffffffu, accumulate_t<T>(smallest), apart);
      const int32_t at = __shfl_xor_sync(0xffffffffu, best, apart);
      if (other < smallest || (other == smallest && at < best)) {
        smallest = T(other);
        best = at;
      }
    }
    if (lane == 0) {
      index[row] = best;
      value[row] = smallest;
    }
  }
#endif
};

template <class T>
struct MinGradRow {
  const int32_t* index;
  const T* dy;
  T* dx;
  int64_t width;
  POPH_HD void operator()(int64_t row) const {
    for (int64_t i = 0; i < width; ++i) dx[row * width + i] = i == index[row] ? dy[row] : T(0);
  }
};

// A row is one thread's on the CPU and a warp's on the GPU.
template <class F>
void for_each_whole_row(Device device, int64_t rows, int64_t width, F f) {
#ifdef POPH_KERNELS
  if (device == Device::cuda) return launch_warp_rows(rows, width, f);
#endif
  for_each_row(device, rows, width, f);
}

}  // namespace

Tensor softmax(const Tensor& x) {
  require(x.shape().last() > 0, "softmax: an empty last axis in ", x.shape());
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_whole_row(x.device(), x.shape().rows(), x.shape().last(),
                       SoftmaxRow<T>{x.data<T>(), y.data<T>(), x.shape().last()});
  });
  return y;
}

Tensor softmax_grad(const Tensor& y, const Tensor& dy) {
  Tensor dx(y.shape(), y.dtype(), y.device());
  visit_dtype(y.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_whole_row(y.device(), y.shape().rows(), y.shape().last(),
                       SoftmaxGradRow<T>{y.data<T>(), dy.data<T>(), dx.data<T>(), y.shape().last()});
  });
  return dx;
}

LayerNormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  const int64_t width = x.shape().last();
  require(weight.shape() == Shape{width} && bias.shape() == Shape{width}, "layer_norm: x ", x.shape(), ", weight ",
          weight.shape(), ", bias ", bias.shape());
  LayerNormResult result{Tensor(x.shape(), x.dtype(), x.device()), Tensor(x.shape(), x.dtype(), x.device()),
                         Tensor({x.shape().rows()}, accumulate_dtype(x.dtype()), x.device())};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_whole_row(
        x.device(), x.shape().rows(), width,
        LayerNormRow<T>{x.data<T>(), weight.data<A>(), bias.data<A>(), result.y.data<T>(), result.normalised.data<T>(),
                        result.inverse_deviation.data<A>(), width, A(epsilon)});
  });
  return result;
}

LayerNormGradients layer_norm_grad(const LayerNormResult& forward, const Tensor& weight, const Tensor& dy) {
  const Tensor& normalised = forward.normalised;
  const int64_t width = dy.shape().last();
  Tensor dx(dy.shape(), dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_whole_row(dy.device(), dy.shape().rows(), width,
                       LayerNormGradRow<T>{normalised.data<T>(), forward.inverse_deviation.data<A>(), weight.data<A>(),
                                           dy.data<T>(), dx.data<T>(), width});
  });
  const Dtype wide = accumulate_dtype(dy.dtype());
  return {dx, sum_to(mul(dy.to(wide), normalised.to(wide)), {width}), sum_to(dy, {width})};
}

MinResult min_last(const Tensor& x) {
  require(x.shape().rank() > 0 && x.shape().last() > 0, "min_last: of shape ", x.shape());
  Shape shape;
  for (int axis = 0; axis + 1 < x.shape().rank(); ++axis) shape.append(x.shape()[axis]);
  MinResult result{Tensor(shape, x.dtype(), x.device()), Tensor(shape, Dtype::i32, x.device())};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_whole_row(x.device(), x.shape().rows(), x.shape().last(),
                       MinRow<T>{x.data<T>(), result.value.data<T>(), result.index.data<int32_t>(), x.shape().last()});
  });
  return result;
}

Tensor min_last_grad(const Tensor& index, const Tensor& dy, int64_t width) {
  Shape shape = dy.shape();
  shape.append(width);
  Tensor dx(shape, dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(dy.device(), dy.elements(), width,
                 MinGradRow<T>{index.data<int32_t>(), dy.data<T>(), dx.data<T>(), width});
  });
  return dx;
}

}  // namespace poph
