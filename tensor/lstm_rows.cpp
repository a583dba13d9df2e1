#include <algorithm>

#include "tensor/ops.h"
#include "tensor/panels.h"
#include "tensor/parallel.h"
#include "tensor/sequence.h"

// The LSTM on the CPU in float32: a thread carries a block of rows through all steps, with no barrier in between. [x|h] lies in
// one small matrix, the weights in panels of 16 units x 4 gates, so that a tile of the product ends with the four gates of its
// cells in registers and the cell's formulas follow there.
namespace poph {
namespace {

constexpr int64_t gates = 4;
constexpr int64_t gradient_depth = 128, gradient_rows = 128;  // blocks of the weight gradient: cells, and gates of one work item

// How rows are cut into blocks: of at most 96, for which a step's matrices stay in the second-level cache; of equal size and an
// even number, so that two threads end together. The number of threads plays no part.
struct RowBlocks {
  int64_t rows, count, size;
  explicit RowBlocks(int64_t rows) : rows(rows), count((rows + 95) / 96) {
    if (rows > 16 && count % 2 == 1) ++count;
    size = count ? (rows + count - 1) / count : 0;
  }
  int64_t first(int64_t block) const { return std::min(rows, block * size); }
  int64_t rows_of(int64_t block) const { return std::min(rows, (block + 1) * size) - first(block); }
};

// Rows of a matrix in a cache: not a power of two apart, which would send them all to the same few cache lines.
int64_t stride_of(int64_t width) { return padded(width) + lanes; }

// The four gates of 16 units for all rows of a block, at one step.
struct LstmPanel {
  int64_t rows, depth;
  const float* a;  // [rows, depth]: x and, but for a first step from zero, h
  int64_t a_stride;
  const float *panel, *bias;  // [depth][gate][unit], [gate][unit]
  float *c, *next_h;          // the block's own, c_stride and a_stride apart
  int64_t c_stride;
  float *all_gates, *all_h, *all_c;  // of row 0, in the result
  int64_t row_stride, units, count;  // cells from row to row; units of a row; of them in this panel

  template <int W, int R>
  POPH_INLINE void run() const {
    using Vector = typename Simd<W>::Vector;
    for_each_tile_of_rows<R>(
        rows, [&](auto tile, int64_t first) __attribute__((always_inline)) {
          constexpr int height = decltype(tile)::value;
          for (int64_t part = 0; part < lanes; part += W) {
            const int64_t left = count - part;
            if (left <= 0) break;
            Vector sum[height][gates];
#pragma GCC unroll 8
            for (int r = 0; r < height; ++r)
#pragma GCC unroll 4
              for (int g = 0; g < gates; ++g) sum[r][g] = load<W>(bias + g * lanes + part);
            multiply<W, height, gates>(sum, a + first * a_stride, a_stride, 1, panel + part, depth);
#pragma GCC unroll 8
            for (int r = 0; r < height; ++r) {
              const int64_t row = first + r, cell = row * row_stride;
              const Vector in = sigmoid_of(sum[r][0]), forget = sigmoid_of(sum[r][1]), candidate = tanh_of(sum[r][2]),
                           out = sigmoid_of(sum[r][3]);
              float* own_c = c + row * c_stride + part;
              const Vector value = in * candidate + forget * load<W>(own_c);
              const Vector h = out * tanh_of(value);
              *reinterpret_cast<typename Simd<W>::Unaligned*>(own_c) = value;
              float* gate = all_gates + cell * gates * units + part;
              store<W>(gate, in, left);
              store<W>(gate + units, forget, left);
              store<W>(gate + 2 * units, candidate, left);
              store<W>(gate + 3 * units, out, left);
              store<W>(all_c + cell * units + part, value, left);
              store<W>(all_h + cell * units + part, h, left);
              store<W>(next_h + row * a_stride + part, h, left);
            }
          }
        });
  }
};

// The gradients of the gates' pre-activations at one step, in place of the gates and in the block's own matrix.
struct LstmCellGrad {
  int64_t rows, units, row_stride;
  float* all_gates;
  const float *all_c, *before_c, *all_dh;  // before_c: nullptr where the state was zero
  float *dgates, *dh_next, *dc, *dbias;    // dbias: summed over the block's rows and steps
  int64_t dgates_stride, state_stride;

  template <int W, int R>
  POPH_INLINE void run() const {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t cell = row * row_stride;
      float* __restrict gate = all_gates + cell * gates * units;
      float* __restrict to = dgates + row * dgates_stride;
      float* __restrict own_dc = dc + row * state_stride;
      const float *c = all_c + cell * units, *dh = all_dh + cell * units, *next = dh_next + row * state_stride;
      const float* before = before_c ? before_c + cell * units : nullptr;
#pragma GCC ivdep
      for (int64_t j = 0; j < units; ++j) {
        const float in = gate[j], forget = gate[units + j], candidate = gate[2 * units + j], out = gate[3 * units + j];
        const float squashed = tanh_of(c[j]), dh_total = dh[j] + next[j];
        const float dc_total = own_dc[j] + dh_total * out * (1 - squashed * squashed);
        to[j] = gate[j] = dc_total * candidate * in * (1 - in);
        to[units + j] = gate[units + j] = before ? dc_total * before[j] * forget * (1 - forget) : 0.0f;
        to[2 * units + j] = gate[2 * units + j] = dc_total * in * (1 - candidate * candidate);
        to[3 * units + j] = gate[3 * units + j] = dh_total * squashed * out * (1 - out);
        own_dc[j] = dc_total * forget;
      }
#pragma GCC ivdep
      for (int64_t j = 0; j < gates * units; ++j) dbias[j] += to[j];
    }
  }
};

// W_ih and W_hh as panels [panel][input or unit][gate][unit], and the bias as [panel][gate][unit], zeros where units end.
void pack_gates(const float* weight_ih, const float* weight_hh, const float* bias, int64_t inputs, int64_t units, float* panels,
                float* packed_bias) {
  const int64_t depth = inputs + units;
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < units; first += lanes) {
    const int64_t count = std::min(lanes, units - first);
    float* panel = panels + first * gates * depth;
    for (int64_t g = 0; g < gates; ++g)
      for (int64_t j = 0; j < lanes; ++j) {
        const int64_t row = g * units + first + j;
        float* to = panel + g * lanes + j;
        const bool there = j < count;
        for (int64_t k = 0; k < inputs; ++k) to[k * panel_width] = there ? weight_ih[row * inputs + k] : 0.0f;
        for (int64_t k = 0; k < units; ++k) to[(inputs + k) * panel_width] = there ? weight_hh[row * units + k] : 0.0f;
        packed_bias[first * gates + g * lanes + j] = there ? bias[row] : 0.0f;
      }
  }
}

// The rows that multiply the gates' gradients to give those of a weight: x, or h one step before.
struct GradientInputs {
  const float* rows;
  int64_t width, lag;  // steps
  Sequence s;
  // Rows [first, first + depth) as panels; zeros at first steps where there is nothing before.
  void pack(int64_t first, int64_t depth, float* panels) const {
    for (int64_t k = 0; k < depth; ++k) {
      const int64_t cell = first + k, step = s.row_stride == 1 ? cell / s.rows : cell % s.steps;
      if (step < lag)
        pack_row(nullptr, k, depth, width, panels);
      else
        pack_row(rows + (cell - lag * s.step_stride) * width, k, depth, width, panels);
    }
  }
};

// dW_ih and dW_hh, sums over all cells. Work items are rows of both, so that no sum is shared between threads.
void weight_gradients(const GradientInputs& x, const GradientInputs& h, const float* dgates, int64_t cells, LstmGradients& g) {
  const int64_t rows = gates * h.width, items = (rows + gradient_rows - 1) / gradient_rows,
                slice_stride = stride_of(gradient_rows);
  const int64_t x_stride = stride_of(x.width), h_stride = stride_of(h.width);
  const int64_t panel_size = panel_elements(gradient_depth, std::max(x.width, h.width));
  Tensor x_sums = Tensor::zeros({rows, x_stride}, Dtype::f32), h_sums = Tensor::zeros({rows, h_stride}, Dtype::f32),
         panels({items, panel_size}, Dtype::f32), slices({items, gradient_depth * slice_stride}, Dtype::f32);
#pragma omp parallel for schedule(dynamic)
  for (int64_t item = 0; item < items; ++item) {
    const int64_t first_row = item * gradient_rows, count = std::min(gradient_rows, rows - first_row);
    float *panel = panels.data<float>() + item * panel_size, *slice = slices.data<float>() + item * gradient_depth * slice_stride;
    float *x_sum = x_sums.data<float>() + first_row * x_stride, *h_sum = h_sums.data<float>() + first_row * h_stride;
    for (int64_t first = 0; first < cells; first += gradient_depth) {
      const int64_t depth = std::min(gradient_depth, cells - first);
      for (int64_t k = 0; k < depth; ++k) std::copy_n(dgates + (first + k) * rows + first_row, count, slice + k * slice_stride);
      x.pack(first, depth, panel);
      PanelProduct{count, x.width, depth, slice, 1, slice_stride, panel, x_sum, x_stride, true}();
      h.pack(first, depth, panel);
      PanelProduct{count, h.width, depth, slice, 1, slice_stride, panel, h_sum, h_stride, true}();
    }
    for (int64_t row = 0; row < count; ++row) {
      std::copy_n(x_sum + row * x_stride, x.width, g.dweight_ih.data<float>() + (first_row + row) * x.width);
      std::copy_n(h_sum + row * h_stride, h.width, g.dweight_hh.data<float>() + (first_row + row) * h.width);
    }
  }
}

}  // namespace

LstmPanels pack_lstm(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias) {
  const int64_t inputs = weight_ih.shape()[1], units = weight_hh.shape()[1];
  LstmPanels weights{Tensor({padded(units) * gates, inputs + units}, Dtype::f32), Tensor({padded(units) * gates}, Dtype::f32)};
  pack_gates(weight_ih.data<float>(), weight_hh.data<float>(), bias.data<float>(), inputs, units, weights.panels.data<float>(),
             weights.bias.data<float>());
  return weights;
}

void lstm_rows(const Tensor& x, const LstmPanels& weights, const Sequence& s, const LstmState& initial, LstmResult& result) {
  const int64_t inputs = x.shape().last(), units = result.h.shape().last(), depth = inputs + units;
  const int64_t a_stride = stride_of(depth), c_stride = stride_of(units);
  const float *panels = weights.panels.data<float>(), *bias = weights.bias.data<float>();
  const RowBlocks blocks(s.rows);
  Tensor matrices({2, s.rows, a_stride}, Dtype::f32), states = Tensor::zeros({s.rows, c_stride}, Dtype::f32);
#pragma omp parallel for schedule(dynamic) if (blocks.count > 1)
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t first = blocks.first(block), rows = blocks.rows_of(block);
    float *now = matrices.data<float>() + first * a_stride, *next = now + s.rows * a_stride,
          *c = states.data<float>() + first * c_stride;
    if (initial.h.defined())
      for (int64_t row = 0; row < rows; ++row) {
        std::copy_n(initial.h.data<float>() + (first + row) * units, units, now + row * a_stride + inputs);
        std::copy_n(initial.c.data<float>() + (first + row) * units, units, c + row * c_stride);
      }
    for (int64_t step = 0; step < s.steps; ++step) {
      const int64_t cell = s.at(step, first);
      for (int64_t row = 0; row < rows; ++row)
        std::copy_n(x.data<float>() + (cell + row * s.row_stride) * inputs, inputs, now + row * a_stride);
      const int64_t used = step == 0 && !initial.h.defined() ? inputs : depth;
      for (int64_t unit = 0; unit < units; unit += lanes)
        run_kernel(LstmPanel{rows, used, now, a_stride, panels + unit * gates * depth, bias + unit * gates, c + unit,
                             next + inputs + unit, c_stride, result.gates.data<float>() + cell * gates * units + unit,
                             result.h.data<float>() + cell * units + unit, result.c.data<float>() + cell * units + unit,
                             s.row_stride, units, std::min(lanes, units - unit)});
      std::swap(now, next);
    }
  }
}

LstmGradients lstm_grad_rows(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const LstmResult& forward,
                             const Sequence& s, const Tensor& dh) {
  const int64_t inputs = x.shape().last(), units = weight_hh.shape()[1], width = gates * units;
  const int64_t d_stride = stride_of(width), state_stride = stride_of(units);
  const RowBlocks blocks(s.rows);
  Tensor panels_ih({panel_elements(width, inputs)}, Dtype::f32), panels_hh({panel_elements(width, units)}, Dtype::f32);
  pack_columns(weight_ih.data<float>(), inputs, width, inputs, panels_ih.data<float>());
  pack_columns(weight_hh.data<float>(), units, width, units, panels_hh.data<float>());
  LstmGradients g{
      Tensor(x.shape(), Dtype::f32), Tensor(weight_ih.shape(), Dtype::f32), Tensor(weight_hh.shape(), Dtype::f32), {}};
  Tensor dgates_all({s.rows, d_stride}, Dtype::f32), dh_all = Tensor::zeros({s.rows, state_stride}, Dtype::f32),
                                                     dc_all = Tensor::zeros({s.rows, state_stride}, Dtype::f32);
  const Tensor dbias = Tensor::zeros({blocks.count, width}, Dtype::f32);
#pragma omp parallel for schedule(dynamic) if (blocks.count > 1)
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t first = blocks.first(block), rows = blocks.rows_of(block);
    float *dgates = dgates_all.data<float>() + first * d_stride, *dh_next = dh_all.data<float>() + first * state_stride;
    float* dc = dc_all.data<float>() + first * state_stride;
    for (int64_t step = s.steps - 1; step >= 0; --step) {
      const int64_t cell = s.at(step, first);
      run_kernel(LstmCellGrad{
          rows, units, s.row_stride, forward.gates.data<float>() + cell * width, forward.c.data<float>() + cell * units,
          step ? forward.c.data<float>() + s.at(step - 1, first) * units : nullptr, dh.data<float>() + cell * units, dgates,
          dh_next, dc, dbias.data<float>() + block * width, d_stride, state_stride});
      if (step) PanelProduct{rows, units, width, dgates, d_stride, 1, panels_hh.data<float>(), dh_next, state_stride, false}();
      PanelProduct{rows,
                   inputs,
                   width,
                   dgates,
                   d_stride,
                   1,
                   panels_ih.data<float>(),
                   g.dx.data<float>() + cell * inputs,
                   s.row_stride * inputs,
                   false}();
    }
  }
  g.dbias = sum_to(dbias, {width});
  weight_gradients({x.data<float>(), inputs, 0, s}, {forward.h.data<float>(), units, 1, s}, forward.gates.data<float>(),
                   s.steps * s.rows, g);
  return g;
}

}  // namespace poph
