#include "tensor/ops.h"
#include "tensor/parallel.h"

namespace poph {
namespace {

template <class T>
struct AdamUpdate {
  T *parameter, *moment, *second_moment;
  const T* gradient;
  T beta1, beta2, epsilon, decay, gradient_factor, moment_factor, second_correction, gradient_scale;
  POPH_HD void operator()(int64_t i) const {
    const T g = gradient[i] * gradient_scale;
    const T m = moment[i] = beta1 * moment[i] + (T(1) - beta1) * g;
    const T v = second_moment[i] = beta2 * second_moment[i] + (T(1) - beta2) * g * g;
    const T step = (gradient_factor * g + moment_factor * m) / (std::sqrt(v * second_correction) + epsilon);
    parameter[i] = parameter[i] - decay * parameter[i] - step;
  }
};

template <class T>
struct SgdUpdate {
  T* parameter;
  const T* gradient;
  T learning_rate;
  POPH_HD void operator()(int64_t i) const { parameter[i] -= learning_rate * gradient[i]; }
};

}  // namespace

void adam_update(Tensor& parameter, Tensor& moment, Tensor& second_moment, const Tensor& gradient, const AdamStep& s) {
  require(parameter.shape() == gradient.shape() && parameter.shape() == moment.shape(), "adam_update: parameter ", parameter.shape(),
          ", gradient ", gradient.shape(), ", moment ", moment.shape());
  visit_wide_dtype(parameter.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(parameter.device(), parameter.elements(),
                   AdamUpdate<T>{parameter.data<T>(), moment.data<T>(), second_moment.data<T>(), gradient.data<T>(), T(s.beta1),
                                 T(s.beta2), T(s.epsilon), T(s.decay), T(s.gradient_factor), T(s.moment_factor),
                                 T(s.second_correction), T(s.gradient_scale)});
  });
}

void sgd_update(Tensor& parameter, const Tensor& gradient, double learning_rate) {
  require(parameter.shape() == gradient.shape(), "sgd_update: parameter ", parameter.shape(), ", gradient ", gradient.shape());
  visit_wide_dtype(parameter.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(parameter.device(), parameter.elements(), SgdUpdate<T>{parameter.data<T>(), gradient.data<T>(), T(learning_rate)});
  });
}

}  // namespace poph
