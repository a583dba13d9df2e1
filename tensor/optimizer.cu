#include <algorithm>
#include <cstring>
#include <limits>

#include "tensor/optimizer.h"
#include "tensor/parallel.h"

// The update of one parameter (MODEL.md "Optimisers"), and what is decided on the device before it: the scale of norm
// clipping, and whether the update may happen at all.
namespace poph {
namespace {

static_assert(sizeof(OptimizerStep) == OptimizerStep::count * sizeof(double) &&
              std::is_trivially_copyable_v<OptimizerStep>);

template <class T>
struct AdamUpdate {
  T *parameter, *moment, *second_moment;
  const T* gradient;
  const OptimizerStep* step;
  bool decays;
  // Below the smallest normal number a fast square root may be NaN. Its root is far below epsilon.
  static constexpr T smallest = std::numeric_limits<T>::min();
  POPH_HD void operator()(int64_t i) const {
    const T beta1 = T(step->beta1), beta2 = T(step->beta2);
    if (step->apply == 0) return;
    const T g = gradient[i] * T(step->gradient_scale);
    const T m = moment[i] = beta1 * moment[i] + (T(1) - beta1) * g;
    const T v = second_moment[i] = beta2 * second_moment[i] + (T(1) - beta2) * g * g;
    const T corrected = v * T(step->second_correction),
            root = std::sqrt(corrected > T(smallest) ? corrected : T(smallest));
    const T update = (T(step->gradient_factor) * g + T(step->moment_factor) * m) / (root + T(step->epsilon));
    parameter[i] = parameter[i] - (decays ? T(step->decay) : T(0)) * parameter[i] - update;
  }
};

template <class T>
struct SgdUpdate {
  T* parameter;
  const T* gradient;
  const OptimizerStep* step;
  POPH_HD void operator()(int64_t i) const {
    if (step->apply == 0) return;
    parameter[i] -= T(step->learning_rate * step->gradient_scale) * gradient[i];
  }
};

template <class T>
struct AverageUpdate {
  T* mean;
  const T* parameter;
  const OptimizerStep* step;
  POPH_HD void operator()(int64_t i) const {
    if (step->apply == 0) return;
    mean[i] += T(step->mean_rate) * (parameter[i] - mean[i]);
  }
};

// A tensor's sum is spread over this many slots, of which neighbours add up neighbouring elements, and these over a
// few. The order is the same on every device and with any number of threads.
constexpr int64_t slots = 4096, few_slots = 64;

template <class T>
struct AddSquares {
  const T* x;
  double* sums;  // [slots]
  int64_t n;
  POPH_HD void operator()(int64_t slot) const {
    double total = 0;
    for (int64_t i = slot; i < n; i += slots) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    sums[slot] = total;
  }
};

struct FoldSums {
  const double* from;  // [rows, n]
  double* to;          // [rows, stride]
  int64_t n, stride;
  POPH_HD void operator()(int64_t slot) const {
    const double* row = from + slot / stride * n;
    double total = 0;
    for (int64_t i = slot % stride; i < n; i += stride) total += row[i];
    to[slot] = total;
  }
};

struct Clip {
  const double* squares;
  int64_t count;
  OptimizerStep* step;
  double max_norm;
  POPH_HD void operator()(int64_t) const {
    double total = 0;
    for (int64_t i = 0; i < count; ++i) total += squares[i];
    const double norm = std::sqrt(total);
    step->gradient_scale = norm > max_norm ? max_norm / norm : 1;
  }
};

struct SkipIfNotFinite {
  static constexpr double max_squares = 1e38;  // the moments are float32, which ends at 3.4e38
  const float* losses;
  double* squares;
  int64_t loss_count, square_count;
  double* halted;
  OptimizerStep* step;
  POPH_HD void operator()(int64_t) const {
    int64_t bad = *halted != 0;
    for (int64_t i = 0; i < loss_count; ++i) bad += NotFinite<float>{}(losses[i]);
    for (int64_t i = 0; i < square_count; ++i) {
      const bool huge = squares[i] * step->gradient_scale * step->gradient_scale > max_squares;
      if (huge) squares[i] = HUGE_VAL;
      bad += huge || NotFinite<double>{}(squares[i]);
    }
    *halted = bad != 0;
    step->apply = bad == 0;
  }
};

template <class T>
struct ReplaceUnless {
  const double* halted;
  T* to;
  const T* from;
  POPH_HD void operator()(int64_t i) const {
    if (*halted == 0) to[i] = from[i];
  }
};

OptimizerStep* numbers_of(const Tensor& step, const Tensor& parameter) {
  require(step.shape() == Shape{OptimizerStep::count} && step.device() == parameter.device(),
          "optimizer: a step's numbers are ", step.shape(), " on ", step.device(), ", the parameter is on ",
          parameter.device());
  return reinterpret_cast<OptimizerStep*>(step.data<double>());
}

}  // namespace

void OptimizerStep::write(Tensor& to) const {
  require(to.shape() == Shape{count} && to.device() == Device::cpu, "optimizer: a step's numbers go to ", to.shape(),
          " on ", to.device());
  std::memcpy(to.data<double>(), this, sizeof *this);
}

Tensor OptimizerStep::on(Device device) const {
  Tensor here({count}, Dtype::f64);
  write(here);
  return here.to(device);
}

void adam_update(Tensor& parameter, Tensor& moment, Tensor& second_moment, const Tensor& gradient, const Tensor& step,
                 bool decays) {
  require(parameter.shape() == gradient.shape() && parameter.shape() == moment.shape(), "adam_update: parameter ",
          parameter.shape(), ", gradient ", gradient.shape(), ", moment ", moment.shape());
  visit_wide_dtype(parameter.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(parameter.device(), parameter.elements(),
                   AdamUpdate<T>{parameter.data<T>(), moment.data<T>(), second_moment.data<T>(), gradient.data<T>(),
                                 numbers_of(step, parameter), decays});
  });
}

void sgd_update(Tensor& parameter, const Tensor& gradient, const Tensor& step) {
  require(parameter.shape() == gradient.shape(), "sgd_update: parameter ", parameter.shape(), ", gradient ",
          gradient.shape());
  visit_wide_dtype(parameter.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(parameter.device(), parameter.elements(),
                   SgdUpdate<T>{parameter.data<T>(), gradient.data<T>(), numbers_of(step, parameter)});
  });
}

void average_update(Tensor& mean, const Tensor& parameter, const Tensor& step) {
  require(mean.shape() == parameter.shape(), "average_update: mean ", mean.shape(), ", parameter ", parameter.shape());
  visit_wide_dtype(parameter.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(parameter.device(), parameter.elements(),
                   AverageUpdate<T>{mean.data<T>(), parameter.data<T>(), numbers_of(step, parameter)});
  });
}

Tensor sums_of_squares(const Tensors& all) {
  const auto count = static_cast<int64_t>(all.size());
  const auto known = std::find_if(all.begin(), all.end(), [](const Tensor& x) { return x.defined(); });
  require(known != all.end(), "sums_of_squares: of no tensors");
  const Device device = known->device();
  Tensor sums = Tensor::zeros({count, slots}, Dtype::f64, device);
  Tensor few({count, few_slots}, Dtype::f64, device), totals({count}, Dtype::f64, device);
  for (int64_t k = 0; k < count; ++k) {
    if (!all[k].defined()) continue;
    visit_wide_dtype(all[k].dtype(), [&](auto type) {
      using T = decltype(type);
      const int64_t n = all[k].elements();
      for_each_row(device, std::min(slots, n), n / slots,
                   AddSquares<T>{all[k].data<T>(), sums.data<double>() + k * slots, n});
    });
  }
  for_each_row(device, count * few_slots, slots / few_slots,
               FoldSums{sums.data<double>(), few.data<double>(), slots, few_slots});
  for_each_row(device, count, few_slots, FoldSums{few.data<double>(), totals.data<double>(), few_slots, 1});
  return totals;
}

void clip(Tensor& step, const Tensor& squares, double max_norm) {
  require(squares.shape().rank() == 1, "clip: expected sums of squares [n], found ", squares.shape());
  for_each_index(step.device(), 1,
                 Clip{squares.data<double>(), squares.elements(), numbers_of(step, squares), max_norm});
}

void skip_update_if_not_finite(Tensor& step, Tensor& halted, const Tensor& losses, Tensor& squares) {
  require(halted.elements() == 1, "skip_update_if_not_finite: expected one number of halted, found ", halted.shape());
  for_each_index(step.device(), 1,
                 SkipIfNotFinite{losses.data<float>(), squares.data<double>(), losses.elements(), squares.elements(),
                                 halted.data<double>(), numbers_of(step, squares)});
}

void replace_unless(const Tensor& halted, const Tensor& to, const Tensor& from) {
  require(halted.elements() == 1 && to.shape() == from.shape() && to.dtype() == from.dtype(),
          "replace_unless: ", to.shape(), " by ", from.shape());
  visit_dtype(to.dtype(), [&](auto type) {
    using T = decltype(type);
    for_each_index(to.device(), to.elements(), ReplaceUnless<T>{halted.data<double>(), to.data<T>(), from.data<T>()});
  });
}

}  // namespace poph
