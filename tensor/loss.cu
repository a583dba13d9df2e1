#include "tensor/ops.h"
#include "tensor/parallel.h"

// The binary cross-entropy of logits (MODEL.md "Losses"), element by element.
namespace poph {
namespace {

template <class T>
struct Bce {
  using A = accumulate_t<T>;
  const T *logit, *target;
  T* y;
  POPH_HD void operator()(int64_t i) const {
    const A x = logit[i], t = target[i], size = x > A(0) ? x : -x;
    // Both terms are positive: a compiler that may reorder sums (-ffast-math) has nothing to cancel.
    y[i] = T(size * (x > A(0) ? A(1) - t : t) + std::log1p(std::exp(-size)));
  }
};

template <class T>
struct BceGrad {
  using A = accumulate_t<T>;
  const T *logit, *target, *dy;
  T* dx;
  POPH_HD void operator()(int64_t i) const { dx[i] = T((sigmoid_of(A(logit[i])) - A(target[i])) * A(dy[i])); }
};

}  // namespace

Tensor bce_with_logits(const Tensor& logit, const Tensor& target) {
  require(logit.shape() == target.shape(), "bce_with_logits: logits ", logit.shape(), " and targets ", target.shape());
  Tensor y(logit.shape(), logit.dtype(), logit.device());
  visit_dtype(logit.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(logit.device(), logit.elements(), Bce<T>{logit.data<T>(), target.data<T>(), y.data<T>()});
  });
  return y;
}

Tensor bce_with_logits_grad(const Tensor& logit, const Tensor& target, const Tensor& dy) {
  Tensor dx(logit.shape(), logit.dtype(), logit.device());
  visit_dtype(logit.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(logit.device(), logit.elements(),
                   BceGrad<T>{logit.data<T>(), target.data<T>(), dy.data<T>(), dx.data<T>()});
  });
  return dx;
}

}  // namespace poph
