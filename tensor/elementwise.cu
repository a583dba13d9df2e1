#include "tensor/ops.h"
#include "tensor/parallel.h"

// Ops that compute each element by itself: a formula is a struct, and an op is a line that applies it. Shapes that
// differ broadcast.
namespace poph {
namespace {

// -- formulas: one struct each, applied to one element
struct Add {
  template <class T>
  POPH_HD T operator()(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  template <class T>
  POPH_HD T operator()(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  template <class T>
  POPH_HD T operator()(T a, T b) const {
    return a * b;
  }
};
struct Sigmoid {
  template <class T>
  POPH_HD T operator()(T x) const {
    return sigmoid_of(x);
  }
};
struct SigmoidGrad {
  template <class T>
  POPH_HD T operator()(T y, T dy) const {
    return dy * y * (T(1) - y);
  }
};
struct Tanh {
  template <class T>
  POPH_HD T operator()(T x) const {
    return tanh_of(x);
  }
};
struct TanhGrad {
  template <class T>
  POPH_HD T operator()(T y, T dy) const {
    return dy * (T(1) - y * y);
  }
};
struct Relu {
  // NaN stays NaN. By the bits: -ffast-math takes any comparison of numbers for max(x, 0), which may turn NaN into 0.
  template <class T>
  POPH_HD T operator()(T x) const {
    if constexpr (sizeof(T) == 4) {
      union {
        float value;
        int32_t bits;
      } view{x};
      return view.bits <= int32_t(0xff800000) ? T(0) : x;  // from -0 to minus infinity; negative NaN is above
    } else {
      union {
        double value;
        int64_t bits;
      } view{x};
      return view.bits <= int64_t(0xfff0000000000000) ? T(0) : x;
    }
  }
};
struct ReluGrad {
  template <class T>
  POPH_HD T operator()(T y, T dy) const {
    return y > T(0) ? dy : T(0);
  }
};
struct Square {
  template <class T>
  POPH_HD T operator()(T x) const {
    return x * x;
  }
};
struct SquareGrad {
  template <class T>
  POPH_HD T operator()(T x, T dy) const {
    return T(2) * x * dy;
  }
};
struct Scale {
  double factor;
  template <class T>
  POPH_HD T operator()(T x) const {
    return T(factor) * x;
  }
};

// -- how a formula meets memory: numbers are loaded, computed as accumulate_t, and rounded once as they are stored
template <class T, class Formula>
struct Map {
  using A = accumulate_t<T>;
  Formula formula;
  const T* x;
  T* y;
  POPH_HD void operator()(int64_t i) const { y[i] = T(formula(A(x[i]))); }
};
template <class T, class Formula>
struct Map2 {
  using A = accumulate_t<T>;
  Formula formula;
  const T *a, *b;
  T* y;
  POPH_HD void operator()(int64_t i) const { y[i] = T(formula(A(a[i]), A(b[i]))); }
};
// The place of the result's element i in an operand: a broadcast axis has stride 0.
struct BroadcastStrides {
  int rank;
  int64_t sizes[Shape::max_rank], strides[Shape::max_rank];
  BroadcastStrides(const Shape& from, const Shape& to) : rank(to.rank()) {
    int64_t stride = 1;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const int own = axis - (rank - from.rank());
      sizes[axis] = to[axis];
      strides[axis] = own < 0 || from[own] == 1 ? 0 : stride;
      if (own >= 0) stride *= from[own];
    }
  }
  POPH_HD int64_t operator()(int64_t i) const {
    int64_t offset = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      offset += i % sizes[axis] * strides[axis];
      i /= sizes[axis];
    }
    return offset;
  }
};
template <class T, class Formula>
struct BroadcastMap2 {
  using A = accumulate_t<T>;
  Formula formula;
  const T *a, *b;
  T* y;
  BroadcastStrides index_a, index_b;
  POPH_HD void operator()(int64_t i) const { y[i] = T(formula(A(a[index_a(i)]), A(b[index_b(i)]))); }
};
template <class T, class Row, class Formula>
struct RowMap2 {  // b is one row for all rows of a: a bias
  using A = accumulate_t<T>;
  Formula formula;
  const T* a;
  const Row* b;
  T* y;
  int64_t width;
  POPH_HD void operator()(int64_t row) const {
    for (int64_t i = 0; i < width; ++i) y[row * width + i] = T(formula(A(a[row * width + i]), A(b[i])));
  }
};
template <class T>
struct Fill {
  T value;
  T* x;
  POPH_HD void operator()(int64_t i) const { x[i] = value; }
};
template <class From, class To>
struct Convert {
  const From* x;
  To* y;
  POPH_HD void operator()(int64_t i) const { y[i] = static_cast<To>(x[i]); }
};

template <class Formula>
Tensor map(Formula formula, const Tensor& x) {
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(x.device(), x.elements(), Map<T, Formula>{formula, x.data<T>(), y.data<T>()});
  });
  return y;
}

template <class Formula>
Tensor map2(const char* name, Formula formula, const Tensor& a, const Tensor& b) {
  require(a.dtype() == b.dtype() && a.device() == b.device(), name, ": ", a.dtype(), " on ", a.device(), " and ",
          b.dtype(), " on ", b.device());
  const Shape shape = broadcast(a.shape(), b.shape(), name);
  Tensor y(shape, a.dtype(), a.device());
  visit_dtype(a.dtype(), [&](auto type) {
    using T = decltype(type);
    if (a.shape() == b.shape())
      for_each_index(a.device(), y.elements(), Map2<T, Formula>{formula, a.data<T>(), b.data<T>(), y.data<T>()});
    else if (a.shape() == shape && b.shape().rank() == 1 && b.shape().last() == shape.last())
      for_each_row(a.device(), shape.rows(), shape.last(),
                   RowMap2<T, T, Formula>{formula, a.data<T>(), b.data<T>(), y.data<T>(), shape.last()});
    else
      for_each_index(a.device(), y.elements(),
                     BroadcastMap2<T, Formula>{
                         formula, a.data<T>(), b.data<T>(), y.data<T>(), {a.shape(), shape}, {b.shape(), shape}});
  });
  return y;
}

}  // namespace

void fill(Tensor& x, double value) {
  if (x.dtype() == Dtype::i32)
    return for_each_index(x.device(), x.elements(), Fill<int32_t>{static_cast<int32_t>(value), x.data<int32_t>()});
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(x.device(), x.elements(), Fill<T>{T(value), x.data<T>()});
  });
}

Tensor convert(const Tensor& x, Dtype dtype) {
  Tensor y(x.shape(), dtype, x.device());
  visit_dtype(x.dtype(), [&](auto from) {
    visit_dtype(dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      for_each_index(x.device(), x.elements(), Convert<From, To>{x.data<From>(), y.data<To>()});
    });
  });
  return y;
}

Tensor add(const Tensor& a, const Tensor& b) { return map2("add", Add{}, a, b); }

Tensor add_bias(const Tensor& x, const Tensor& bias) {
  require(bias.shape() == Shape{x.shape().last()} && bias.dtype() == accumulate_dtype(x.dtype()), "add_bias: x ",
          x.dtype(), " ", x.shape(), ", bias ", bias.dtype(), " ", bias.shape());
  Tensor y(x.shape(), x.dtype(), x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_row(x.device(), x.shape().rows(), x.shape().last(),
                 RowMap2<T, A, Add>{Add{}, x.data<T>(), bias.data<A>(), y.data<T>(), x.shape().last()});
  });
  return y;
}

Tensor sub(const Tensor& a, const Tensor& b) { return map2("sub", Sub{}, a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return map2("mul", Mul{}, a, b); }
Tensor scale(const Tensor& x, double factor) { return map(Scale{factor}, x); }
Tensor sigmoid(const Tensor& x) { return map(Sigmoid{}, x); }
Tensor sigmoid_grad(const Tensor& y, const Tensor& dy) { return map2("sigmoid_grad", SigmoidGrad{}, y, dy); }
Tensor tanh(const Tensor& x) { return map(Tanh{}, x); }
Tensor tanh_grad(const Tensor& y, const Tensor& dy) { return map2("tanh_grad", TanhGrad{}, y, dy); }
Tensor relu(const Tensor& x) { return map(Relu{}, x); }
Tensor relu_grad(const Tensor& y, const Tensor& dy) { return map2("relu_grad", ReluGrad{}, y, dy); }
Tensor square(const Tensor& x) { return map(Square{}, x); }
Tensor square_grad(const Tensor& x, const Tensor& dy) { return map2("square_grad", SquareGrad{}, x, dy); }

void add_into(Tensor& sum, const Tensor& x) {
  require(sum.shape() == x.shape() && sum.dtype() == x.dtype(), "add_into: ", sum.dtype(), " ", sum.shape(),
          " += ", x.dtype(), " ", x.shape());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(x.device(), x.elements(), Map2<T, Add>{Add{}, sum.data<T>(), x.data<T>(), sum.data<T>()});
  });
}

}  // namespace poph
