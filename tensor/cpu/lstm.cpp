#include "tensor/cpu/lstm.h"

#include <algorithm>

// The LSTM on the CPU in float32: a thread carries a block of rows through all steps, with no barrier in between. [x|h]
// lies in one small matrix, the weights in panels of a few units x 4 gates, so that a tile of the product ends with the
// gates of its cells at hand and the cell's formulas follow there. (lstm_grad.cpp goes back through the steps.)
namespace poph {
namespace {

constexpr int64_t gates = lstm_gates;

// The gates' pre-activations of some rows: start + A [rows, used] times the panels' rows from the first on.
struct GateSums {
  int64_t depth, first, used;  // depth: of a panel
  const float* a;
  int64_t a_stride;
  const float *panels, *start;  // [unit / W][gate / G][depth][gate % G][unit % W], rows of [unit / W][gate][unit % W]
  int64_t start_stride;         // 0: the same row, the bias, for all

  template <class Tile, int R>
  struct Of {
    static constexpr int G = Tile::G, parts = gates / G;
    typename Simd<Tile::W>::Vector part[parts][R][G];
    POPH_INLINE typename Simd<Tile::W>::Vector operator()(int gate, int r) const { return part[gate / G][r][gate % G]; }
  };

  template <class Tile, int R>
  POPH_INLINE void make(int64_t row, int64_t unit, Of<Tile, R>& sums) const {
    constexpr int W = Tile::W, G = Tile::G, parts = gates / G;
#pragma GCC unroll 2
    for (int part = 0; part < parts; ++part)
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g)
          sums.part[part][r][g] = load<W>(start + (row + r) * start_stride + unit * gates + (part * G + g) * W);
    const float *from = a + row * a_stride, *panel = panels + unit * gates * depth + first * G * W;
    if constexpr (parts == 2 && R <= 2) {  // so few sums wait for each other: both parts at once
      for (int64_t k = 0; k < used; ++k)
#pragma GCC unroll 2
        for (int part = 0; part < parts; ++part)
          multiply<W, R, G>(sums.part[part], from + k, a_stride, 1, panel + (part * depth + k) * G * W, 1);
    } else {
#pragma GCC unroll 2
      for (int part = 0; part < parts; ++part)
        multiply<W, R, G>(sums.part[part], from, a_stride, 1, panel + part * depth * G * W, used);
    }
  }
};

// One step of a block of rows.
struct LstmStep {
  GateSums sums;  // A: x and, but for a first step from zero, h
  int64_t rows;
  float *c, *next_h;  // the block's own, c_stride and A's stride apart
  int64_t c_stride;
  float *all_gates, *all_h, *all_c;  // of row 0, in the result
  int64_t row_stride, units;         // cells from row to row

  template <class Tile>
  POPH_INLINE void run() const {
    for (int64_t unit = 0; unit < units; unit += Tile::W)
      for_each_tile_of_rows<Tile::R>(
          rows, [&](auto tile, int64_t row)
                    __attribute__((always_inline)) { cells<Tile, decltype(tile)::value>(row, unit); });
  }

  template <class Tile, int R>
  POPH_INLINE void cells(int64_t first, int64_t unit) const {
    constexpr int W = Tile::W;
    using Vector = typename Simd<W>::Vector;
    GateSums::Of<Tile, R> sum_of;
    sums.template make<Tile, R>(first, unit, sum_of);
    const int64_t count = units - unit;
    for (int r = 0; r < R; ++r) {
      const int64_t row = first + r, cell = row * row_stride;
      float* own_c = c + row * c_stride + unit;
      const CellValues<Vector> value =
          cell_values<Vector>(sum_of(0, r), sum_of(1, r), sum_of(2, r), sum_of(3, r), load<W>(own_c));
      store<W>(own_c, value.c);
      float* gate = all_gates + cell * gates * units + unit;
      store<W>(gate, value.in, count);
      store<W>(gate + units, value.forget, count);
      store<W>(gate + 2 * units, value.candidate, count);
      store<W>(gate + 3 * units, value.out, count);
      store<W>(all_c + cell * units + unit, value.c, count);
      store<W>(all_h + cell * units + unit, value.h, count);
      store<W>(next_h + row * sums.a_stride + unit, value.h, count);
    }
  }
};

// Partial pre-activations, for later steps to start from.
struct PartialGates {
  GateSums sums;
  int64_t rows, units;
  float* to;  // rows of [unit / W][gate][unit % W], `to_stride` apart
  int64_t to_stride;

  template <class Tile>
  POPH_INLINE void run() const {
    constexpr int W = Tile::W;
    for (int64_t unit = 0; unit < units; unit += W)
      for_each_tile_of_rows<Tile::R>(
          rows, [&](auto tile, int64_t row) __attribute__((always_inline)) {
            constexpr int R = decltype(tile)::value;
            GateSums::Of<Tile, R> sum_of;
            sums.template make<Tile, R>(row, unit, sum_of);
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
              for (int gate = 0; gate < gates; ++gate)
                store<W>(to + (row + r) * to_stride + unit * gates + gate * W, sum_of(gate, r));
          });
  }
};

// Lays the weights out as LstmStep reads them; zeros where units end.
struct PackGates {
  const float *weight_ih, *weight_hh, *bias;
  int64_t inputs, units;
  float *panels, *packed_bias;

  template <class Tile>
  void run() const {
    constexpr int64_t W = Tile::W, G = Tile::G;
    const int64_t depth = inputs + units;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < padded(units); first += W)
      for (int64_t gate = 0; gate < gates; ++gate)
        for (int64_t j = 0; j < W; ++j) {
          const int64_t row = gate * units + first + j;
          const bool there = first + j < units;
          float* to = panels + (first * gates + gate / G * G * W) * depth + gate % G * W + j;
          for (int64_t k = 0; k < inputs; ++k) to[k * G * W] = there ? weight_ih[row * inputs + k] : 0.0f;
          for (int64_t k = 0; k < units; ++k) to[(inputs + k) * G * W] = there ? weight_hh[row * units + k] : 0.0f;
          packed_bias[first * gates + gate * W + j] = there ? bias[row] : 0.0f;
        }
  }
};

}  // namespace

PackedLstm pack_gates(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias) {
  const int64_t inputs = weight_ih.shape()[1], units = weight_hh.shape()[1];
  PackedLstm weights{Tensor({padded(units) * gates, inputs + units}, Dtype::f32),
                     Tensor({padded(units) * gates}, Dtype::f32), units};
  run_kernel(PackGates{weight_ih.data<float>(), weight_hh.data<float>(), bias.data<float>(), inputs, units,
                       weights.panels.data<float>(), weights.bias.data<float>()});
  return weights;
}

Tensor lstm_partial_gates(const Tensor& x, const PackedLstm& packed) {
  const int64_t used = x.shape().last(), cells = x.elements() / std::max<int64_t>(used, 1),
                width = packed.bias.elements();
  const int64_t depth = packed.panels.shape()[1], units = packed.units;
  require(x.dtype() == Dtype::f32 && used <= depth - units, "lstm_partial_gates: input ", x.shape(), " ", x.dtype(),
          ", panels of ", depth - units, " inputs");
  Tensor partial_gates({cells, width}, Dtype::f32);
  const RowBlocks blocks(cells);
#pragma omp parallel for schedule(dynamic) if (blocks.count > 1)
  for (int64_t block = 0; block < blocks.count; ++block) {
    const int64_t first = blocks.first(block);
    run_kernel(PartialGates{{depth, 0, used, x.data<float>() + first * used, used, packed.panels.data<float>(),
                             packed.bias.data<float>(), 0},
                            blocks.rows_of(block),
                            units,
                            partial_gates.data<float>() + first * width,
                            width});
  }
  return partial_gates;
}

void lstm_packed(const Tensor& x, const PackedLstm& weights, const Sequence& s, const LstmStart& start,
                 const OutputDropout& dropout, LstmResult& result, const Tensor& partial_gates) {
  const LstmState& initial = start.state;
  const SequenceBegins begins(start.begins, s);
  const int64_t inputs = x.shape().last(), units = result.h.shape().last(), depth = weights.panels.shape()[1];
  const int64_t width = inputs + units, a_stride = padded_stride(width), c_stride = padded_stride(units);
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
      float* const h = result.h.data<float>() + cell * units;
      for (int64_t row = 0; row < rows; ++row) {
        std::copy_n(x.data<float>() + (cell + row * s.row_stride) * inputs, inputs, now + row * a_stride);
        if (!begins.at(step, first + row)) continue;
        std::fill_n(now + row * a_stride + inputs, units, 0.0f);
        std::fill_n(c + row * c_stride, units, 0.0f);
      }
      const int64_t sums = weights.bias.elements();
      run_kernel(
          LstmStep{{depth, depth - width, step == 0 && !initial.h.defined() ? inputs : width, now, a_stride,
                    weights.panels.data<float>(),
                    partial_gates.defined() ? partial_gates.data<float>() + cell * sums : weights.bias.data<float>(),
                    partial_gates.defined() ? s.row_stride * sums : 0},
                   rows,
                   c,
                   next + inputs,
                   c_stride,
                   result.gates.data<float>() + cell * gates * units,
                   h,
                   result.c.data<float>() + cell * units,
                   s.row_stride,
                   units});
      if (dropout.probability > 0)
        for (int64_t row = 0; row < rows; ++row) {
          const int64_t element = (cell + row * s.row_stride) * units;
          drop_elements(dropout, element, units, h + row * s.row_stride * units, result.y.data<float>() + element);
        }
      std::swap(now, next);
    }
  }
}

}  // namespace poph
