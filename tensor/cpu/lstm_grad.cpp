#include <algorithm>
#include <array>

#include "tensor/cpu/lstm.h"

// The gradients of lstm.cpp: a thread carries the gradients of a block of rows from the last step to the first. The
// gates' gradients never leave the caches: the gradients of x, of h and of the weights are summed as they are made.
namespace poph {
namespace {

constexpr int64_t gates = lstm_gates;
constexpr int64_t chunk_rows = 96;  // of gates' gradients that enter a weight's gradient at a time, from several steps
constexpr int64_t max_sums = 16;    // partial sums of the weights' gradients, whatever the number of threads

// The gradients of the gates' pre-activations at one step.
struct LstmCellGrad {
  int64_t rows, units, row_stride;
  // of row 0, in the forward result or the initial state; before_c: nullptr where the state was zero
  const float *all_gates, *all_c, *before_c;
  const bool* begins;  // the rows whose state was zero; nullptr: none of them
  const float* dh;     // of this step, dh_stride apart
  int64_t dh_stride;
  float *dgates, *dh_next, *dc, *dbias;  // dbias: summed over the block's rows and steps
  int64_t dgates_stride, state_stride;

  template <class Tile>
  POPH_INLINE void run() const {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t unit = 0; unit < units; unit += Tile::W) cells<Tile::W>(row, unit);
  }

  template <int W>
  POPH_INLINE void cells(int64_t row, int64_t unit) const {
    using Vector = typename Simd<W>::Vector;
    const int64_t at = row * row_stride * units + unit, state = row * state_stride + unit, count = units - unit;
    const float* gate = all_gates + row * row_stride * gates * units + unit;
    const Vector before = before_c && !(begins && begins[row]) ? load<W>(before_c + at, count) : Vector{};
    const Vector dh_total = load<W>(dh + row * dh_stride + unit, count) + load<W>(dh_next + state);
    const CellGradients<Vector> g = cell_gradients<Vector>(
        load<W>(gate, count), load<W>(gate + units, count), load<W>(gate + 2 * units, count),
        load<W>(gate + 3 * units, count), load<W>(all_c + at, count), before, dh_total, load<W>(dc + state));
    store<W>(dc + state, g.dc);
    const auto give = [&](int64_t gate, Vector value) __attribute__((always_inline)) {
      const int64_t to = gate * units + unit;
      store<W>(dgates + row * dgates_stride + to, value, count);
      store<W>(dbias + to, load<W>(dbias + to, count) + value, count);
    };
    give(0, g.in);
    give(1, g.forget);
    give(2, g.candidate);
    give(3, g.out);
  }
};

// A thread's share: some blocks, one after the other, whose contributions to the weights go into one sum.
struct Share {
  const Tensor &x, &h, &gates_of, &c, &dy;
  const OutputDropout& dropout;
  const LstmState& initial;
  const SequenceBegins& begins;
  const Sequence& s;
  int64_t inputs, units, width, d_stride, state_stride;
  const float *panels_ih, *panels_hh;
  float *dx, *dweight_ih, *dweight_hh, *dbias;
  float *dgates, *dh, *dh_next, *dc, *x_panels, *h_panels;  // the thread's own room

  void operator()(int64_t first, int64_t rows) const {
    if (rows == 0) return;
    std::fill_n(dh_next, rows * state_stride, 0.0f);
    std::fill_n(dc, rows * state_stride, 0.0f);
    const int64_t steps_at_once = std::max<int64_t>(1, chunk_rows / rows);
    for (int64_t end = s.steps; end > 0;) {
      const int64_t begin = std::max<int64_t>(0, end - steps_at_once), depth = (end - begin) * rows;
      for (int64_t step = end - 1; step >= begin; --step) one_step(step, first, rows, (step - begin) * rows, depth);
      add({4 * units, inputs, depth, dgates, 1, d_stride, x_panels, dweight_ih, inputs, true});
      add({4 * units, units, depth, dgates, 1, d_stride, h_panels, dweight_hh, units, true});
      end = begin;
    }
  }

 private:
  static void add(const PanelProduct& product) { product(); }

  // Rows [at, at + rows) of the chunk are this step's.
  void one_step(int64_t step, int64_t first, int64_t rows, int64_t at, int64_t depth) const {
    const int64_t cell = s.at(step, first);
    // The state before: the sequence's own, or the initial one, whose rows lie side by side as those along time do.
    const float *before_h = nullptr, *before_c = nullptr;
    if (step || initial.h.defined()) {
      const int64_t before = (step ? s.at(step - 1, first) : first) * units;
      before_h = (step ? h : initial.h).data<float>() + before;
      before_c = (step ? c : initial.c).data<float>() + before;
    }
    std::array<bool, RowBlocks::max_size> begun;
    const bool some_begin = begins.any(step, first, rows);
    for (int64_t row = 0; some_begin && row < rows; ++row) begun[row] = begins.at(step, first + row);
    float* const own = dgates + at * d_stride;
    const float* from_above = dy.data<float>() + cell * units;
    int64_t above_stride = s.row_stride * units;
    if (dropout.probability > 0) {
      for (int64_t row = 0; row < rows; ++row)
        drop_elements(dropout, (cell + row * s.row_stride) * units, units, from_above + row * above_stride,
                      dh + row * state_stride);
      from_above = dh;
      above_stride = state_stride;
    }
    run_kernel(LstmCellGrad{rows, units, s.row_stride, gates_of.data<float>() + cell * width,
                            c.data<float>() + cell * units, before_c, some_begin ? begun.data() : nullptr, from_above,
                            above_stride, own, dh_next, dc, dbias, d_stride, state_stride});
    if (step) PanelProduct{rows, units, width, own, d_stride, 1, panels_hh, dh_next, state_stride, false}();
    PanelProduct{rows, inputs, width, own, d_stride, 1, panels_ih, dx + cell * inputs, s.row_stride * inputs, false}();
    for (int64_t row = 0; some_begin && row < rows; ++row) {
      if (!begun[row]) continue;
      std::fill_n(dh_next + row * state_stride, units, 0.0f);
      std::fill_n(dc + row * state_stride, units, 0.0f);
    }
    for (int64_t row = 0; row < rows; ++row) {
      const bool zero = !before_h || (some_begin && begun[row]);
      pack_row(x.data<float>() + (cell + row * s.row_stride) * inputs, at + row, depth, inputs, x_panels);
      pack_row(zero ? nullptr : before_h + row * s.row_stride * units, at + row, depth, units, h_panels);
    }
  }
};

}  // namespace

LstmGradients lstm_grad_packed(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh,
                               const LstmResult& forward, const Sequence& s, const Tensor& dy, const LstmStart& start,
                               const OutputDropout& dropout) {
  const int64_t inputs = x.shape().last(), units = weight_hh.shape()[1], width = gates * units;
  const int64_t d_stride = padded_stride(width), state_stride = padded_stride(units);
  const RowBlocks blocks(s.rows);
  const SequenceBegins begins(start.begins, s);
  const int64_t shares = std::min(blocks.count, max_sums), rows_at_once = std::max(chunk_rows, blocks.size);
  const auto room = [&](int64_t elements) { return Tensor({shares, elements}, Dtype::f32); };
  const auto sums = [&](int64_t elements) { return Tensor::zeros({shares, elements}, Dtype::f32); };
  Tensor panels_ih({panel_elements(width, inputs)}, Dtype::f32), panels_hh({panel_elements(width, units)}, Dtype::f32);
  pack_columns(weight_ih.data<float>(), inputs, width, inputs, panels_ih.data<float>());
  pack_columns(weight_hh.data<float>(), units, width, units, panels_hh.data<float>());
  const Tensor dx(x.shape(), Dtype::f32), dweight_ih = sums(width * inputs), dweight_hh = sums(width * units),
                                          dbias = sums(width);
  const Tensor dgates = room(rows_at_once * d_stride), dh = room(blocks.size * state_stride),
               dh_next = room(blocks.size * state_stride), dc = room(blocks.size * state_stride),
               x_panels = room(panel_elements(rows_at_once, inputs)),
               h_panels = room(panel_elements(rows_at_once, units));
#pragma omp parallel for schedule(dynamic) if (shares > 1)
  for (int64_t share = 0; share < shares; ++share) {
    const auto own = [share](const Tensor& of) { return of.data<float>() + share * of.shape().last(); };
    const Share work{x,
                     forward.h,
                     forward.gates,
                     forward.c,
                     dy,
                     dropout,
                     start.state,
                     begins,
                     s,
                     inputs,
                     units,
                     width,
                     d_stride,
                     state_stride,
                     panels_ih.data<float>(),
                     panels_hh.data<float>(),
                     dx.data<float>(),
                     own(dweight_ih),
                     own(dweight_hh),
                     own(dbias),
                     own(dgates),
                     own(dh),
                     own(dh_next),
                     own(dc),
                     own(x_panels),
                     own(h_panels)};
    for (int64_t block = share * blocks.count / shares; block < (share + 1) * blocks.count / shares; ++block)
      work(blocks.first(block), blocks.rows_of(block));
  }
  return {dx, sum_to(dweight_ih, {width * inputs}).reshape(weight_ih.shape()),
          sum_to(dweight_hh, {width * units}).reshape(weight_hh.shape()), sum_to(dbias, {width})};
}

}  // namespace poph
