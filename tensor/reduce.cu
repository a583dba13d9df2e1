#include <thrust/execution_policy.h>
#include <thrust/functional.h>
#include <thrust/transform_reduce.h>

#include "tensor/ops.h"
#include "tensor/parallel.h"

namespace poph {
namespace {

constexpr int64_t sum_rows = 256, sum_columns = 16;  // the block of a matrix that one thread sums

// Sums over rows of a matrix in two passes: blocks of sum_rows rows first, then the blocks. The order is fixed by the shape.
template <class T>
struct ColumnSum {
  using A = accumulate_t<T>;
  const T* x;
  A* y;  // [blocks of rows, columns]
  int64_t rows, columns, column_blocks;
  POPH_HD void operator()(int64_t item) const {
    const int64_t block = item / column_blocks, first = item % column_blocks * sum_columns;
    const int64_t begin = block * sum_rows, end = begin + sum_rows < rows ? begin + sum_rows : rows;
    const int64_t width = columns - first < sum_columns ? columns - first : sum_columns;
    A total[sum_columns] = {};
    if (width == sum_columns) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t i = 0; i < sum_columns; ++i) total[i] += A(x[row * columns + first + i]);
    } else {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t i = 0; i < width; ++i) total[i] += A(x[row * columns + first + i]);
    }
    for (int64_t i = 0; i < width; ++i) y[block * columns + first + i] = total[i];
  }
};

Tensor column_sum(const Tensor& x, int64_t rows, int64_t columns, const Shape& shape) {
  const Dtype dtype = accumulate_dtype(x.dtype());
  if (rows == 0 || columns == 0) return Tensor::zeros(shape, dtype, x.device());
  Tensor from = x;
  do {
    const int64_t blocks = (rows + sum_rows - 1) / sum_rows, column_blocks = (columns + sum_columns - 1) / sum_columns;
    Tensor to({blocks, columns}, dtype, x.device());
    visit_dtype(from.dtype(), [&](auto type) {
      using T = decltype(type);
      for_each_row(x.device(), blocks * column_blocks, std::min(rows, sum_rows) * sum_columns,
                   ColumnSum<T>{from.data<T>(), to.data<accumulate_t<T>>(), rows, columns, column_blocks});
    });
    from = to;
    rows = blocks;
  } while (rows > 1);
  return from.reshape(shape);
}

// Sums over any axes: `kept` sizes and strides address a result element, `summed` ones walk its terms.
template <class T>
struct SumAxes {
  using A = accumulate_t<T>;
  const T* x;
  A* y;
  int kept, summed;
  int64_t kept_sizes[Shape::max_rank], kept_strides[Shape::max_rank];
  int64_t summed_sizes[Shape::max_rank], summed_strides[Shape::max_rank], terms;
  static POPH_HD int64_t offset(int64_t i, int rank, const int64_t* sizes, const int64_t* strides) {
    int64_t at = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      at += i % sizes[axis] * strides[axis];
      i /= sizes[axis];
    }
    return at;
  }
  POPH_HD void operator()(int64_t i) const {
    const int64_t base = offset(i, kept, kept_sizes, kept_strides);
    A total = A(0);
    for (int64_t term = 0; term < terms; ++term) total += A(x[base + offset(term, summed, summed_sizes, summed_strides)]);
    y[i] = total;
  }
};

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
      dx[base + i] = T(inverse_deviation[row] * (A(dy[base + i]) * weight[i] - sum - A(normalised[base + i]) * sum_times));
  }
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

template <class T>
struct NotFinite {  // by the bits: this file is compiled with -ffast-math, which assumes that isnan is never true
  POPH_HD int64_t operator()(T x) const {
    if constexpr (sizeof(T) == 2) {
      return (x.bits & 0x7f80u) == 0x7f80u;
    } else if constexpr (sizeof(T) == 4) {
      union { float value; uint32_t bits; } view{x};
      return (view.bits & 0x7f800000u) == 0x7f800000u;
    } else {
      union { double value; uint64_t bits; } view{x};
      return (view.bits & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
    }
  }
};

template <class Result, template <class> class Of>
Result reduce_all(const Tensor& x) {
  Result result{};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T *begin = x.data<T>(), *end = begin + x.elements();
#ifdef POPH_KERNELS
    if (x.device() == Device::cuda) {
      result = thrust::transform_reduce(thrust::cuda::par.on(stream()), begin, end, Of<T>{}, Result{}, thrust::plus<Result>{});
      return;
    }
#endif
    result = thrust::transform_reduce(thrust::seq, begin, end, Of<T>{}, Result{}, thrust::plus<Result>{});
  });
  return result;
}

}  // namespace

Shape broadcast(const Shape& a, const Shape& b, const char* op) {
  Shape shape = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  for (int axis = -1; axis >= -shorter.rank(); --axis) {
    require(shape[axis] == shorter[axis] || shape[axis] == 1 || shorter[axis] == 1, op, ": shapes ", a, " and ", b, " do not fit");
    if (shape[axis] == 1) shape = shape.with(axis, shorter[axis]);
  }
  return shape;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x.to(accumulate_dtype(x.dtype()));
  require(broadcast(x.shape(), shape, "sum_to") == x.shape(), "sum_to: ", x.shape(), " to ", shape);
  const int missing = x.shape().rank() - shape.rank();
  const auto stretched = [&](int axis) { return axis < missing || shape[axis - missing] != x.shape()[axis]; };
  int leading = 0;  // the axes that are summed, if they are all at the front
  while (leading < x.shape().rank() && (stretched(leading) || x.shape()[leading] == 1)) ++leading;
  bool only_leading = true;
  int64_t columns = 1;
  for (int axis = leading; axis < x.shape().rank(); ++axis) {
    only_leading = only_leading && !stretched(axis);
    columns *= x.shape()[axis];
  }
  if (only_leading) return column_sum(x, x.elements() / std::max<int64_t>(columns, 1), columns, shape);

  Tensor y(shape, accumulate_dtype(x.dtype()), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    SumAxes<T> functor{x.data<T>(), y.data<accumulate_t<T>>(), 0, 0, {}, {}, {}, {}, 1};
    int64_t strides[Shape::max_rank], stride = 1;
    for (int axis = x.shape().rank() - 1; axis >= 0; --axis) {
      strides[axis] = stride;
      stride *= x.shape()[axis];
    }
    for (int axis = 0; axis < x.shape().rank(); ++axis) {
      if (stretched(axis)) {
        functor.summed_sizes[functor.summed] = x.shape()[axis];
        functor.summed_strides[functor.summed++] = strides[axis];
        functor.terms *= x.shape()[axis];
      } else {
        functor.kept_sizes[functor.kept] = x.shape()[axis];
        functor.kept_strides[functor.kept++] = strides[axis];
      }
    }
    for_each_row(x.device(), y.elements(), functor.terms, functor);
  });
  return y;
}

Tensor sum(const Tensor& x) { return column_sum(x, x.elements(), 1, {}); }

Tensor softmax(const Tensor& x) {
  require(x.shape().last() > 0, "softmax: an empty last axis in ", x.shape());
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), x.shape().rows(), x.shape().last(), SoftmaxRow<T>{x.data<T>(), y.data<T>(), x.shape().last()});
  });
  return y;
}

Tensor softmax_grad(const Tensor& y, const Tensor& dy) {
  Tensor dx(y.shape(), y.dtype(), y.device());
  visit_dtype(y.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(y.device(), y.shape().rows(), y.shape().last(),
                 SoftmaxGradRow<T>{y.data<T>(), dy.data<T>(), dx.data<T>(), y.shape().last()});
  });
  return dx;
}

LayerNormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  const int64_t width = x.shape().last();
  require(weight.shape() == Shape{width} && bias.shape() == Shape{width}, "layer_norm: x ", x.shape(), ", weight ", weight.shape(),
          ", bias ", bias.shape());
  LayerNormResult result{Tensor(x.shape(), x.dtype(), x.device()), Tensor(x.shape(), x.dtype(), x.device()),
                         Tensor({x.shape().rows()}, accumulate_dtype(x.dtype()), x.device())};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_row(x.device(), x.shape().rows(), width,
                 LayerNormRow<T>{x.data<T>(), weight.data<A>(), bias.data<A>(), result.y.data<T>(), result.normalised.data<T>(),
                                 result.inverse_deviation.data<A>(), width, A(epsilon)});
  });
  return result;
}

LayerNormGradients layer_norm_grad(const LayerNormResult& forward, const Tensor& weight, const Tensor& dy) {
  const Tensor& normalised = forward.normalised;
  const int64_t width = dy.shape().last(), rows = dy.shape().rows();
  Tensor dx(dy.shape(), dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_row(dy.device(), rows, width,
                 LayerNormGradRow<T>{normalised.data<T>(), forward.inverse_deviation.data<A>(), weight.data<A>(), dy.data<T>(),
                                     dx.data<T>(), width});
  });
  const Dtype wide = accumulate_dtype(dy.dtype());
  return {dx, column_sum(mul(dy.to(wide), normalised.to(wide)), rows, width, {width}), column_sum(dy, rows, width, {width})};
}

MinResult min_last(const Tensor& x) {
  require(x.shape().rank() > 0 && x.shape().last() > 0, "min_last: of shape ", x.shape());
  Shape shape;
  for (int axis = 0; axis + 1 < x.shape().rank(); ++axis) shape.append(x.shape()[axis]);
  MinResult result{Tensor(shape, x.dtype(), x.device()), Tensor(shape, Dtype::i32, x.device())};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), x.shape().rows(), x.shape().last(),
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
    for_each_row(dy.device(), dy.elements(), width, MinGradRow<T>{index.data<int32_t>(), dy.data<T>(), dx.data<T>(), width});
  });
  return dx;
}

int64_t count_nonfinite(const Tensor& x) { return reduce_all<int64_t, NotFinite>(x); }

}  // namespace poph
