#include "tensor/ops.h"
#include "tensor/parallel.h"

// Ops that move elements without computing: parts of rows, one axis turned or shifted, axes exchanged, and the patches
// that a convolution multiplies with its weight.
namespace poph {
namespace {

// Copies rows of `width` from a matrix with `from_stride` elements a row to one with `to_stride`.
template <class T>
struct CopyRows {
  const T* from;
  T* to;
  int64_t width, from_stride, to_stride;
  POPH_HD void operator()(int64_t row) const {
    for (int64_t i = 0; i < width; ++i) to[row * to_stride + i] = from[row * from_stride + i];
  }
};

template <class T>
struct PadRow {  // dy goes to [first, first + count) of a row of zeros
  const T* dy;
  T* dx;
  int64_t first, count, width;
  POPH_HD void operator()(int64_t row) const {
    for (int64_t i = 0; i < width; ++i) dx[row * width + i] = T(0);
    for (int64_t i = 0; i < count; ++i) dx[row * width + first + i] = dy[row * count + i];
  }
};

// One axis of x seen as [outer, size, inner]; a row is one (outer, position) of `inner` elements.
template <class T>
struct FlipRow {
  const T* x;
  T* y;
  int64_t size, inner;
  POPH_HD void operator()(int64_t row) const {
    const int64_t from = row - row % size + (size - 1 - row % size);
    for (int64_t i = 0; i < inner; ++i) y[row * inner + i] = x[from * inner + i];
  }
};

template <class T>
struct ShiftRow {
  const T* x;
  T* y;
  int64_t size, inner, by;
  POPH_HD void operator()(int64_t row) const {
    const int64_t position = row % size - by;
    const bool inside = position >= 0 && position < size;
    for (int64_t i = 0; i < inner; ++i) y[row * inner + i] = inside ? x[(row - by) * inner + i] : T(0);
  }
};

template <class T>
struct PermuteRow {  // a row is the last axis of the result
  const T* x;
  T* y;
  int rank;
  int64_t sizes[Shape::max_rank], strides[Shape::max_rank];  // of the result's axes, strides in x
  POPH_HD void operator()(int64_t row) const {
    int64_t rest = row, from = 0;
    for (int axis = rank - 2; axis >= 0; --axis) {
      from += rest % sizes[axis] * strides[axis];
      rest /= sizes[axis];
    }
    const int64_t width = sizes[rank - 1], stride = strides[rank - 1];
    for (int64_t i = 0; i < width; ++i) y[row * width + i] = x[from + i * stride];
  }
};

// A row is one note's patch: [channel][offset], the layout of a [out, channel, kernel] weight's row.
template <class T>
struct UnfoldNotes {
  const T* x;
  T* y;
  int64_t notes, channels, kernel, pad_below;
  POPH_HD void operator()(int64_t row) const {
    const int64_t note = row % notes, group = row - note;
    for (int64_t channel = 0; channel < channels; ++channel)
      for (int64_t offset = 0; offset < kernel; ++offset) {
        const int64_t from = note + offset - pad_below;
        y[(row * channels + channel) * kernel + offset] =
            from >= 0 && from < notes ? x[(group + from) * channels + channel] : T(0);
      }
  }
};

template <class T>
struct UnfoldNotesGrad {  // gathers, for one note, every patch it is part of
  const T* dy;
  T* dx;
  int64_t notes, channels, kernel, pad_below;
  POPH_HD void operator()(int64_t row) const {
    const int64_t note = row % notes, group = row - note;
    for (int64_t channel = 0; channel < channels; ++channel) {
      accumulate_t<T> total = 0;
      for (int64_t offset = 0; offset < kernel; ++offset) {
        const int64_t patch = note - offset + pad_below;
        if (patch >= 0 && patch < notes) total += dy[((group + patch) * channels + channel) * kernel + offset];
      }
      dx[row * channels + channel] = T(total);
    }
  }
};

struct AxisView {
  int64_t outer = 1, size = 1, inner = 1;
  AxisView(const Shape& shape, int axis) : size(shape[axis]) {
    for (int i = 0; i < shape.wrap(axis); ++i) outer *= shape[i];
    for (int i = shape.wrap(axis) + 1; i < shape.rank(); ++i) inner *= shape[i];
  }
};

}  // namespace

Tensor concat_last(const Tensors& parts) {
  require(!parts.empty(), "concat_last: of nothing");
  int64_t width = 0;
  for (const Tensor& part : parts) {
    require(part.shape().with(-1, 1) == parts[0].shape().with(-1, 1), "concat_last: ", parts[0].shape(), " and ",
            part.shape());
    width += part.shape().last();
  }
  Tensor y(parts[0].shape().with(-1, width), parts[0].dtype(), parts[0].device());
  int64_t first = 0;
  for (const Tensor& part : parts) {
    const int64_t count = part.shape().last();
    visit_dtype(y.dtype(), [&](auto type) {
      using T = decltype(type);
      for_each_row(y.device(), y.shape().rows(), count,
                   CopyRows<T>{part.data<T>(), y.data<T>() + first, count, count, width});
    });
    first += count;
  }
  return y;
}

Tensor slice_last(const Tensor& x, int64_t first, int64_t count) {
  const int64_t width = x.shape().last();
  require(first >= 0 && count >= 0 && first + count <= width, "slice_last: [", first, ", ", first + count, ") of ",
          x.shape());
  Tensor y(x.shape().with(-1, count), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), x.shape().rows(), count,
                 CopyRows<T>{x.data<T>() + first, y.data<T>(), count, width, count});
  });
  return y;
}

Tensor slice_last_grad(const Tensor& dy, int64_t first, int64_t width) {
  const int64_t count = dy.shape().last();
  Tensor dx(dy.shape().with(-1, width), dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(dy.device(), dx.shape().rows(), width, PadRow<T>{dy.data<T>(), dx.data<T>(), first, count, width});
  });
  return dx;
}

// Seen as [outer, size * inner], an axis is a part of the last one.
Tensor concat(const Tensors& parts, int axis) {
  require(!parts.empty(), "concat: of nothing");
  Tensors flat;
  int64_t size = 0;
  for (const Tensor& part : parts) {
    require(part.shape().with(axis, 1) == parts[0].shape().with(axis, 1), "concat: ", parts[0].shape(), " and ",
            part.shape(), " along axis ", axis);
    const AxisView view(part.shape(), axis);
    flat.push_back(part.reshape({view.outer, view.size * view.inner}));
    size += view.size;
  }
  return concat_last(flat).reshape(parts[0].shape().with(axis, size));
}

Tensor slice(const Tensor& x, int axis, int64_t first, int64_t count) {
  const AxisView view(x.shape(), axis);
  require(first >= 0 && count >= 0 && first + count <= view.size, "slice: [", first, ", ", first + count, ") of axis ",
          axis, " of ", x.shape());
  return slice_last(x.reshape({view.outer, view.size * view.inner}), first * view.inner, count * view.inner)
      .reshape(x.shape().with(axis, count));
}

Tensor flip(const Tensor& x, int axis) {
  const AxisView view(x.shape(), axis);
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), view.outer * view.size, view.inner,
                 FlipRow<T>{x.data<T>(), y.data<T>(), view.size, view.inner});
  });
  return y;
}

Tensor shift(const Tensor& x, int axis, int64_t by) {
  const AxisView view(x.shape(), axis);
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), view.outer * view.size, view.inner,
                 ShiftRow<T>{x.data<T>(), y.data<T>(), view.size, view.inner, by});
  });
  return y;
}

Tensor permute(const Tensor& x, const std::vector<int>& axes) {
  const int rank = x.shape().rank();
  require(static_cast<int>(axes.size()) == rank && rank > 0, "permute: ", axes.size(), " axes for ", x.shape());
  int64_t strides[Shape::max_rank], stride = 1;
  for (int axis = rank - 1; axis >= 0; --axis) {
    strides[axis] = stride;
    stride *= x.shape()[axis];
  }
  Shape shape;
  unsigned seen = 0;
  for (int axis : axes) {
    shape.append(x.shape()[axis]);
    seen |= 1u << x.shape().wrap(axis);
  }
  require(seen + 1 == 1u << rank, "permute: an axis of ", x.shape(), " is named twice");
  Tensor y(shape, x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    PermuteRow<T> functor{x.data<T>(), y.data<T>(), rank, {}, {}};
    for (int axis = 0; axis < rank; ++axis) {
      functor.sizes[axis] = shape[axis];
      functor.strides[axis] = strides[x.shape().wrap(axes[axis])];
    }
    for_each_row(x.device(), shape.rows(), shape.last(), functor);
  });
  return y;
}

Tensor unfold_notes(const Tensor& x, int64_t kernel, int64_t pad_below) {
  require(x.shape().rank() >= 2, "unfold_notes: expected (.., N, C), found ", x.shape());
  const int64_t notes = x.shape()[-2], channels = x.shape()[-1];
  Tensor y(x.shape().with(-1, channels * kernel), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(x.device(), x.shape().rows(), channels * kernel,
                 UnfoldNotes<T>{x.data<T>(), y.data<T>(), notes, channels, kernel, pad_below});
  });
  return y;
}

Tensor unfold_notes_grad(const Tensor& dy, int64_t channels, int64_t kernel, int64_t pad_below) {
  Tensor dx(dy.shape().with(-1, channels), dy.dtype(), dy.device());
  visit_dtype(dy.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_row(dy.device(), dx.shape().rows(), channels * kernel,
                 UnfoldNotesGrad<T>{dy.data<T>(), dx.data<T>(), dx.shape()[-2], channels, kernel, pad_below});
  });
  return dx;
}

}  // namespace poph
