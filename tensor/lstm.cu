#include "tensor/lstm.h"

#include "tensor/cpu/lstm.h"
#include "tensor/gemm.h"
#include "tensor/lstm_cell.h"
#include "tensor/parallel.h"

// Hochreiter and Schmidhuber 1997 with forget gates (Gers 2000): i, f, o = sigmoid, g = tanh of x W_ih' + h W_hh' + b;
// c = f c + i g; h = o tanh(c).
namespace poph {
namespace {

struct Sizes {
  Sequence sequence;
  int64_t inputs, units;
};

Sizes check_sizes(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                  SequenceAxis axis, const LstmStart& start, const Tensor& partial_gates = {}) {
  const LstmState& initial = start.state;
  const Sizes sizes{Sequence(x.shape(), axis), x.shape().last(), weight_hh.shape()[-1]};
  const Shape state{sizes.sequence.rows, sizes.units};
  const bool all_inputs = !partial_gates.defined() && weight_ih.shape()[-1] == sizes.inputs;
  const bool other_inputs = partial_gates.defined() && weight_ih.shape()[-1] >= sizes.inputs &&
                            partial_gates.shape()[0] == sizes.sequence.steps * sizes.sequence.rows;
  require(weight_ih.shape()[0] == 4 * sizes.units && (all_inputs || other_inputs) &&
              weight_hh.shape() == (Shape{4 * sizes.units, sizes.units}) && bias.shape() == (Shape{4 * sizes.units}),
          "lstm: input ", x.shape(), ", weight_ih ", weight_ih.shape(), ", weight_hh ", weight_hh.shape(), ", bias ",
          bias.shape());
  const Dtype wide = accumulate_dtype(x.dtype());
  require(weight_ih.dtype() == x.dtype() && weight_hh.dtype() == x.dtype() && bias.dtype() == wide &&
              (!initial.h.defined() || initial.h.dtype() == x.dtype()) &&
              (!initial.c.defined() || initial.c.dtype() == wide),
          "lstm: input ", x.dtype(), ", weights ", weight_ih.dtype(), " ", weight_hh.dtype(), " ", bias.dtype());
  require(initial.h.defined() == initial.c.defined() &&
              (!initial.h.defined() || (initial.h.shape() == state && initial.c.shape() == state)),
          "lstm: initial state ", initial.h.shape(), " and ", initial.c.shape(), ", expected ", state);
  const Tensor& begins = start.begins;
  require(!begins.defined() || (axis == SequenceAxis::time && begins.dtype() == Dtype::i32 &&
                                begins.shape().rank() == 2 && begins.shape()[0] == sizes.sequence.steps &&
                                begins.shape()[1] > 0 && sizes.sequence.rows % begins.shape()[1] == 0),
          "lstm: begins ", begins.shape(), " for ", sizes.sequence.steps, " steps of ", sizes.sequence.rows, " rows");
  return sizes;
}

LstmResult empty_result(const Tensor& x, int64_t units, const OutputDropout& dropout) {
  require(dropout.probability >= 0 && dropout.probability < 1, "lstm: dropout ", dropout.probability,
          ", expected [0, 1)");
  const auto made = [&](int64_t width, Dtype dtype) { return Tensor(x.shape().with(-1, width), dtype, x.device()); };
  const Tensor h = made(units, x.dtype());
  return {h, made(4 * units, x.dtype()), made(units, accumulate_dtype(x.dtype())),
          dropout.probability > 0 ? made(units, x.dtype()) : h};
}

// to[row, unit] = from[row, unit], or 0 in the rows that begin with this step. `from` nullptr: 0.
template <class T>
struct Carry {
  const T* from;
  T* to;
  int64_t from_stride, to_stride, units, step;
  SequenceBegins begins;
  POPH_HD void operator()(int64_t i) const {
    const int64_t row = i / units, j = i % units;
    to[row * to_stride + j] = from && !begins.at(step, row) ? from[row * from_stride + j] : T(0.0f);
  }
};

// The state one step before: the sequence's own, or the initial state, or no h and one row of zeros as every row's c.
// Where rows begin anew, a copy of it with zeros in these.
template <class T>
struct Before {
  using A = accumulate_t<T>;
  const T* h = nullptr;
  const A* c = nullptr;
  int64_t stride = 0;
  Before(const LstmResult& result, const LstmState& initial, const Tensor& zeros, const Sequence& s, int64_t units,
         int64_t step)
      : c(zeros.data<A>()) {
    if (step > 0) {
      const int64_t offset = s.at(step - 1, 0) * units;
      h = result.h.data<T>() + offset;
      c = result.c.data<A>() + offset;
      stride = s.row_stride * units;
    } else if (initial.h.defined()) {
      h = initial.h.data<T>();
      c = initial.c.data<A>();
      stride = units;
    }
  }
  // `copy`: [rows, units] each.
  void carry(const LstmState& copy, const SequenceBegins& begins, const Sequence& s, int64_t units, int64_t step) {
    if (!begins.begins || !h) return;
    const Device device = copy.h.device();
    T* const to_h = copy.h.data<T>();
    A* const to_c = copy.c.data<A>();
    for_each_index(device, s.rows * units, Carry<T>{h, to_h, stride, units, units, step, begins});
    for_each_index(device, s.rows * units, Carry<A>{c, to_c, stride, units, units, step, begins});
    h = to_h;
    c = to_c;
    stride = units;
  }
};

// Room for Before::carry.
LstmState carried_state(const Tensor& x, const Tensor& begins, const Sequence& s, int64_t units) {
  if (!begins.defined()) return {};
  return {Tensor({s.rows, units}, x.dtype(), x.device()),
          Tensor({s.rows, units}, accumulate_dtype(x.dtype()), x.device())};
}

// The h before every step, [T, rows, units]: what the recurrent weights were multiplied with.
template <class T>
Tensor all_h_before(const LstmResult& forward, const LstmStart& start, const Sequence& s, int64_t units) {
  const Tensor before(forward.h.shape(), forward.h.dtype(), forward.h.device());
  const SequenceBegins begins(start.begins, s);
  for (int64_t step = 0; step < s.steps; ++step) {
    const T* from = step ? forward.h.data<T>() + s.at(step - 1, 0) * units
                         : (start.state.h.defined() ? start.state.h.data<T>() : nullptr);
    const int64_t from_stride = step ? s.row_stride * units : units;
    for_each_index(forward.h.device(), s.rows * units,
                   Carry<T>{from, before.data<T>() + s.at(step, 0) * units, from_stride, s.row_stride * units, units,
                            step, begins});
  }
  return before;
}

// dW = sum over steps of dgates' inputs. Along time consecutive steps are neighbours in memory: one product does them
// all.
template <class T>
void add_weight_gradient(Device device, const Sequence& s, const T* dgates, int64_t gate_width, const T* inputs,
                         int64_t width, int64_t lag, accumulate_t<T>* dweight) {
  if (s.row_stride == 1 || lag == 0) {
    const int64_t cells = (s.steps - lag) * s.rows;
    gemm<T>(device, true, false, gate_width, width, cells, 1, dgates + lag * s.step_stride * gate_width, gate_width,
            inputs, width, 0, dweight, width);
    return;
  }
  set_zero(dweight, device, gate_width * width * sizeof(accumulate_t<T>));
  for (int64_t step = lag; step < s.steps; ++step)
    gemm<T>(device, true, false, gate_width, width, s.rows, 1, dgates + s.at(step, 0) * gate_width,
            s.row_stride * gate_width, inputs + s.at(step - lag, 0) * width, s.row_stride * width, 1, dweight, width);
}

// bias_sums: the dgates themselves, or sums over some of their rows each.
LstmGradients finish_gradients(const Tensor& x, const LstmResult& forward, const LstmStart& start, const Sizes& sizes,
                               Tensor dx, const Tensor& bias_sums) {
  const auto& [s, inputs, units] = sizes;
  const Dtype wide = accumulate_dtype(x.dtype());
  LstmGradients g{dx, Tensor({4 * units, inputs}, wide, x.device()), Tensor({4 * units, units}, wide, x.device()), {}};
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    add_weight_gradient<T>(x.device(), sizes.sequence, forward.gates.data<T>(), 4 * sizes.units, x.data<T>(),
                           sizes.inputs, 0, g.dweight_ih.data<A>());
    const bool own = !start.begins.defined() && !start.state.h.defined();  // each h before is in the result
    const Tensor h = own ? forward.h : all_h_before<T>(forward, start, sizes.sequence, sizes.units);
    add_weight_gradient<T>(x.device(), sizes.sequence, forward.gates.data<T>(), 4 * sizes.units, h.data<T>(),
                           sizes.units, own ? 1 : 0, g.dweight_hh.data<A>());
  });
  g.dbias = sum_to(bias_sums, {4 * units});
  return g;
}

}  // namespace

LstmResult lstm_stepwise(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                         SequenceAxis axis, const LstmStart& start, const OutputDropout& dropout) {
  const Sizes sizes = check_sizes(x, weight_ih, weight_hh, bias, axis, start);
  const Sequence& s = sizes.sequence;
  const int64_t units = sizes.units;
  LstmResult result = empty_result(x, units, dropout);
  const DropMask mask(dropout.probability, dropout.key);
  const Dtype wide = accumulate_dtype(x.dtype());
  const Tensor zeros = Tensor::zeros({units}, wide, x.device());
  // Pre-activations are summed in the gates themselves, all steps' inputs at once; but bf16 gates would round them
  // twice.
  const bool apart = x.dtype() != wide;
  const SequenceBegins begins(start.begins, s);
  const LstmState carried = carried_state(x, start.begins, s, units);
  const Tensor sums({apart ? s.rows : 0, 4 * units}, wide, x.device());
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    T* gates = result.gates.data<T>();
    if (!apart)
      gemm<T>(x.device(), false, true, s.steps * s.rows, 4 * units, sizes.inputs, 1, x.data<T>(), sizes.inputs,
              weight_ih.data<T>(), sizes.inputs, 0, gates, 4 * units);
    for (int64_t step = 0; step < s.steps; ++step) {
      Before<T> before(result, start.state, zeros, s, units, step);
      before.carry(carried, begins, s, units, step);
      A* to = sums.data<A>();
      int64_t stride = 4 * units;
      if constexpr (std::is_same_v<T, A>) {
        to = gates + s.at(step, 0) * 4 * units;
        stride = s.row_stride * 4 * units;
      } else {
        gemm<T>(x.device(), false, true, s.rows, 4 * units, sizes.inputs, 1, x.data<T>() + s.at(step, 0) * sizes.inputs,
                s.row_stride * sizes.inputs, weight_ih.data<T>(), sizes.inputs, 0, to, stride);
      }
      if (before.h)
        gemm<T>(x.device(), false, true, s.rows, 4 * units, units, 1, before.h, before.stride, weight_hh.data<T>(),
                units, 1, to, stride);
      apply_cell(x.device(), Cell<T>{gates, result.c.data<A>(), result.h.data<T>(), bias.data<A>(), before.c, units,
                                     step, before.stride, s, mask,
                                     dropout.probability > 0 ? result.y.data<T>() : nullptr, sums.data<A>()});
    }
  });
  return result;
}

LstmGradients lstm_grad_stepwise(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh,
                                 const LstmResult& forward, SequenceAxis axis, const Tensor& dy, const LstmStart& start,
                                 const OutputDropout& dropout) {
  const Sizes sizes{Sequence(x.shape(), axis), x.shape().last(), weight_hh.shape()[-1]};
  const Sequence& s = sizes.sequence;
  const int64_t units = sizes.units;
  const Dtype wide = accumulate_dtype(x.dtype());
  const Tensor zeros = Tensor::zeros({units}, wide, x.device());
  Tensor dx(x.shape(), x.dtype(), x.device()), dh_next = Tensor::zeros({s.rows, units}, wide, x.device()),
                                               dc = dh_next.clone();
  const Tensor bias_sums = empty_bias_sums(x, s, units);
  const DropMask mask(dropout.probability, dropout.key);
  const SequenceBegins begins(start.begins, s);
  const LstmState carried = carried_state(x, start.begins, s, units);
  visit_dtype(x.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    T* gates = forward.gates.data<T>();
    for (int64_t step = s.steps - 1; step >= 0; --step) {
      Before<T> before(forward, start.state, zeros, s, units, step);
      before.carry(carried, begins, s, units, step);
      apply_cell_grad(x.device(),
                      CellGrad<T>{gates, forward.c.data<A>(), before.c, dy.data<T>(), dh_next.data<A>(), dc.data<A>(),
                                  units, step, before.stride, s, mask, static_cast<A*>(bias_sums.raw())});
      gemm<T>(x.device(), false, false, s.rows, units, 4 * units, 1, gates + s.at(step, 0) * 4 * units,
              s.row_stride * 4 * units, weight_hh.data<T>(), units, 0, dh_next.data<A>(), units);
      for (Tensor* state : {&dh_next, &dc})
        if (start.begins.defined())
          for_each_index(x.device(), s.rows * units,
                         Carry<A>{state->data<A>(), state->data<A>(), units, units, units, step, begins});
    }
    gemm<T>(x.device(), false, false, s.steps * s.rows, sizes.inputs, 4 * units, 1, gates, 4 * units,
            weight_ih.data<T>(), sizes.inputs, 0, dx.data<T>(), sizes.inputs);
  });
  return finish_gradients(x, forward, start, sizes, dx, bias_sums.defined() ? bias_sums : forward.gates);
}

// For a single call. Weights that stay packed from call to call are worth it for one row.
constexpr int64_t cells_worth_packing = 256;

static bool has_packed_form(const Tensor& x) { return x.device() == Device::cpu && x.dtype() == Dtype::f32; }

PackedLstm pack_lstm(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias) {
  return has_packed_form(weight_ih) ? pack_gates(weight_ih, weight_hh, bias) : PackedLstm{};
}

LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                SequenceAxis axis, const LstmStart& start, const OutputDropout& dropout, const PackedLstm& packed,
                const Tensor& partial_gates) {
  const Sizes sizes = check_sizes(x, weight_ih, weight_hh, bias, axis, start, partial_gates);
  const Sequence& s = sizes.sequence;
  const bool is_packed = packed.panels.defined();
  if (!has_packed_form(x) || !(is_packed || s.steps * s.rows >= cells_worth_packing))
    return lstm_stepwise(x, weight_ih, weight_hh, bias, axis, start, dropout);
  LstmResult result = empty_result(x, sizes.units, dropout);
  lstm_packed(x, is_packed ? packed : pack_gates(weight_ih, weight_hh, bias), s, start, dropout, result, partial_gates);
  return result;
}

LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                SequenceAxis axis, const LstmStart& start, const OutputDropout& dropout) {
  return lstm(x, weight_ih, weight_hh, bias, axis, start, dropout, {});
}

LstmGradients lstm_grad(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const LstmResult& forward,
                        SequenceAxis axis, const Tensor& dy, const LstmStart& start, const OutputDropout& dropout) {
  require(axis == SequenceAxis::time || !start.state.h.defined(),
          "lstm_grad: an initial state along notes, expected none");
  const Sequence sequence(x.shape(), axis);
  if (!has_packed_form(x) || sequence.steps * sequence.rows < cells_worth_packing)
    return lstm_grad_stepwise(x, weight_ih, weight_hh, forward, axis, dy, start, dropout);
  return lstm_grad_packed(x, weight_ih, weight_hh, forward, sequence, dy, start, dropout);
}

LstmState last_state(const LstmResult& result, SequenceAxis axis) {
  const Sequence s(result.h.shape(), axis);
  const int64_t units = result.h.shape().last();
  const auto last = [&](const Tensor& of) {
    if (axis == SequenceAxis::time)
      return of.reshape({s.steps, s.rows, units}).slice(s.steps - 1, 1).reshape({s.rows, units});
    return slice_last(of.reshape({s.rows, s.steps * units}), (s.steps - 1) * units, units);
  };
  return {last(result.h), last(result.c)};
}

}  // namespace poph
