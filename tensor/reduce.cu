#include <thrust/execution_policy.h>
#include <thrust/functional.h>
#include <thrust/transform_reduce.h>

#include "tensor/ops.h"
#include "tensor/parallel.h"
#include "tensor/warp.h"

// Sums over some axes and over all elements. Their order is fixed by the shape, so that neither the number of threads
// nor a second run changes a bit.
namespace poph {
namespace {

constexpr int64_t sum_rows = 256, sum_columns = 16;  // the block of a matrix that one thread sums

// Sums over rows of a matrix in two passes: blocks of sum_rows rows first, then the blocks. The order is fixed by the
// shape.
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

#ifdef POPH_KERNELS
// The same by blocks of threads: neighbouring threads read neighbouring columns, 2^lane_bits of them; those behind each
// other share the rows, and their sums are added in pairs.
constexpr int sum_threads = 256, rows_per_thread = 64;

struct ColumnBlocks {
  int lane_bits = 0;
  int64_t rows, blocks, column_blocks;  // rows: of one block
  ColumnBlocks(int64_t all_rows, int64_t columns) {
    while (lane_bits < 5 && 1 << lane_bits < columns) ++lane_bits;
    rows = int64_t{rows_per_thread} * sum_threads >> lane_bits;
    blocks = (all_rows + rows - 1) / rows;
    column_blocks = (columns + (1 << lane_bits) - 1) >> lane_bits;
  }
};

template <class T>
__global__ void column_sum_kernel(const T* x, accumulate_t<T>* y, int64_t rows, int64_t columns, ColumnBlocks shape) {
  using A = accumulate_t<T>;
  __shared__ A sums[sum_threads];
  const int thread = threadIdx.x, lanes = 1 << shape.lane_bits;
  const int64_t block = blockIdx.x / shape.column_blocks;
  const int64_t column = (blockIdx.x % shape.column_blocks << shape.lane_bits) + (thread & (lanes - 1));
  const int64_t begin = block * shape.rows, end = begin + shape.rows < rows ? begin + shape.rows : rows;
  A total = A(0);
  if (column < columns)
    for (int64_t row = begin + (thread >> shape.lane_bits); row < end; row += sum_threads >> shape.lane_bits)
      total += A(x[row * columns + column]);
  sums[thread] = total;
  __syncthreads();
  for (int half = sum_threads / 2; half >= lanes; half /= 2) {
    if (thread < half) sums[thread] += sums[thread + half];
    __syncthreads();
  }
  if (thread < lanes && column < columns) y[block * columns + column] = sums[thread];
}
#endif

Tensor column_sum(const Tensor& x, int64_t rows, int64_t columns, const Shape& shape) {
  const Dtype dtype = accumulate_dtype(x.dtype());
  if (rows == 0 || columns == 0) return Tensor::zeros(shape, dtype, x.device());
  Tensor from = x;
#ifdef POPH_KERNELS
  if (x.device() == Device::cuda) {
    do {
      const ColumnBlocks blocks(rows, columns);
      Tensor to({blocks.blocks, columns}, dtype, x.device());
      visit_dtype(from.dtype(), [&](auto type) {
        using T = decltype(type);
        launch_kernel(column_sum_kernel<T>, blocks.blocks * blocks.column_blocks, sum_threads, 0, from.data<T>(),
                      to.data<accumulate_t<T>>(), rows, columns, blocks);
      });
      from = to;
      rows = blocks.blocks;
    } while (rows > 1);
    return from.reshape(shape);
  }
#endif
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

// Sums over any axes. `outer` sizes and strides address a result element, `summed` ones its terms.
template <class T>
struct SumAxes {
  using A = accumulate_t<T>;
  const T* x;
  A* y;
  int outer, summed;
  int64_t outer_sizes[Shape::max_rank], outer_strides[Shape::max_rank];
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
    const int64_t base = offset(i, outer, outer_sizes, outer_strides);
    A total = A(0);
    for (int64_t term = 0; term < terms; ++term)
      total += A(x[base + offset(term, summed, summed_sizes, summed_strides)]);
    y[i] = total;
  }
#ifdef POPH_KERNELS
  template <int>
  __device__ void warp(int64_t i) const {
    const int64_t base = offset(i, outer, outer_sizes, outer_strides);
    A total = A(0);
    for (int64_t term = threadIdx.x % warp_size; term < terms; term += warp_size)
      total += A(x[base + offset(term, summed, summed_sizes, summed_strides)]);
    total = warp_sum(total);
    if (threadIdx.x % warp_size == 0) y[i] = total;
  }
#endif
};

template <class Result, template <class> class Of>
Result reduce_all(const Tensor& x) {
  Result result{};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    const T *begin = x.data<T>(), *end = begin + x.elements();
#ifdef POPH_KERNELS
    if (x.device() == Device::cuda) {
      result = thrust::transform_reduce(thrust::cuda::par.on(stream()), begin, end, Of<T>{}, Result{},
                                        thrust::plus<Result>{});
      return;
    }
#endif
    result = thrust::transform_reduce(thrust::seq, begin, end, Of<T>{}, Result{}, thrust::plus<Result>{});
  });
  return result;
}

}  // namespace

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
        functor.outer_sizes[functor.outer] = x.shape()[axis];
        functor.outer_strides[functor.outer++] = strides[axis];
      }
    }
#ifdef POPH_KERNELS
    if (x.device() == Device::cuda && functor.terms >= warp_size)
      return launch_warp_rows(y.elements(), functor.terms, functor);
#endif
    for_each_row(x.device(), y.elements(), functor.terms, functor);
  });
  return y;
}

Tensor sum(const Tensor& x) { return column_sum(x, x.elements(), 1, {}); }

int64_t count_nonfinite(const Tensor& x) { return reduce_all<int64_t, NotFinite>(x); }

}  // namespace poph
