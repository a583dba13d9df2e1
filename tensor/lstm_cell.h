#pragma once
#include "tensor/lstm.h"
#include "tensor/parallel.h"
#include "tensor/warp.h"

// The LSTM's cell, shared by all its forms: which elements one sequence has, the formulas of one unit, and one step of
// whole rows after its matrix products, forward and backward. Only kernel sources include this.
namespace poph {

// One axis of [T, B, N, F] as a sequence: element (step, row) is row `step * step_stride + row * row_stride` of the
// flat matrix. Neither direction needs a permuted copy.
struct Sequence {
  int64_t steps, rows, step_stride, row_stride;
  Sequence(const Shape& x, SequenceAxis axis) {
    require(x.rank() == 4, "lstm: expected [T,B,N,F], found ", x);
    const int64_t cells = x[0] * x[1] * x[2];
    steps = axis == SequenceAxis::time ? x[0] : x[2];
    rows = steps ? cells / steps : 0;
    step_stride = axis == SequenceAxis::time ? rows : 1;
    row_stride = axis == SequenceAxis::time ? 1 : steps;
  }
  POPH_HD int64_t at(int64_t step, int64_t row) const { return step * step_stride + row * row_stride; }
};

// LstmStart's begins, as kernels read it.
struct SequenceBegins {
  const int32_t* begins = nullptr;
  int64_t columns = 1, rows_of_column = 1;
  SequenceBegins(const Tensor& tensor, const Sequence& s) {
    if (!tensor.defined()) return;
    begins = tensor.data<int32_t>();
    columns = tensor.shape()[1];
    rows_of_column = s.rows / columns;
  }
  POPH_HD bool at(int64_t step, int64_t row) const {
    return begins && begins[step * columns + row / rows_of_column] == step;
  }
  bool any(int64_t step, int64_t first, int64_t rows) const {  // on the CPU
    for (int64_t row = first; begins && row < first + rows; ++row)
      if (at(step, row)) return true;
    return false;
  }
};

// The formulas of one unit (lstm.cu). V: float or double, or on the CPU a vector of floats, a unit in each lane.
template <class V>
struct CellValues {
  V in, forget, candidate, out, c, h;
};
template <class V>
POPH_HD CellValues<V> cell_values(V in_sum, V forget_sum, V candidate_sum, V out_sum, V c_before) {
  const V in = sigmoid_of(in_sum), forget = sigmoid_of(forget_sum);
  const V candidate = tanh_of(candidate_sum), out = sigmoid_of(out_sum);
  const V c = in * candidate + forget * c_before;
  return {in, forget, candidate, out, c, out * tanh_of(c)};
}

template <class V>
struct CellGradients {
  V in, forget, candidate, out, dc;  // of the gates' pre-activations; dc: of the c before
};
template <class V>
POPH_HD CellGradients<V> cell_gradients(V in, V forget, V candidate, V out, V c, V c_before, V dh, V dc) {
  const V tanh_c = tanh_of(c);
  const V dc_total = dc + dh * out * (1.0f - tanh_c * tanh_c);
  return {dc_total * candidate * in * (1.0f - in), dc_total * c_before * forget * (1.0f - forget),
          dc_total * in * (1.0f - candidate * candidate), dh * tanh_c * out * (1.0f - out), dc_total * forget};
}

// One step: one unit at a time on the CPU, and on the GPU several neighbouring units of a row for each thread.
template <class T>
struct Cell {
  using A = accumulate_t<T>;
  T* gates;
  A* c;
  T* h;
  const A *bias, *c_before;  // c_before: row r at r * before_stride
  int64_t units, step, before_stride;
  Sequence sequence;
  DropMask mask;
  T* y;           // h after dropout; nullptr where there is none
  const A* sums;  // bf16: this step's x W_ih' + h W_hh', [rows, 4 units]; otherwise they lie in the gates

  POPH_HD const A* sums_of(int64_t row, const T* gate) const {
    if constexpr (std::is_same_v<T, A>)
      return gate;
    else
      return sums + row * 4 * units;
  }
  POPH_HD void operator()(int64_t i) const {  // i = row * units + unit
    const int64_t row = i / units, j = i % units, cell = sequence.at(step, row);
    T* gate = gates + cell * 4 * units;
    const A* sum = sums_of(row, gate);
    const CellValues<A> value =
        cell_values<A>(sum[j] + bias[j], sum[units + j] + bias[units + j], sum[2 * units + j] + bias[2 * units + j],
                       sum[3 * units + j] + bias[3 * units + j], c_before[row * before_stride + j]);
    gate[j] = T(value.in);
    gate[units + j] = T(value.forget);
    gate[2 * units + j] = T(value.candidate);
    gate[3 * units + j] = T(value.out);
    c[cell * units + j] = value.c;
    const T result = T(value.h);
    h[cell * units + j] = result;
    if (y) y[cell * units + j] = T(A(mask.factor(cell * units + j)) * A(result));
  }
#ifdef POPH_KERNELS
  template <int count>
  __device__ void neighbours(int64_t row, int64_t j) const {
    const int64_t cell = sequence.at(step, row);
    T* gate = gates + cell * 4 * units + j;
    const A* sum = sums_of(row, gates + cell * 4 * units) + j;
    Neighbours<A, count> sum_of[4], bias_of[4], new_c;
    for (int g = 0; g < 4; ++g) {
      sum_of[g] = read<count>(sum + g * units);
      bias_of[g] = read<count>(bias + g * units + j);
    }
    const Neighbours<A, count> before = read<count>(c_before + row * before_stride + j);
    Neighbours<T, count> gate_of[4], new_h, new_y;
    double factor_of[count];
    mask.factors(cell * units + j, factor_of);
    for (int e = 0; e < count; ++e) {
      const CellValues<A> value = cell_values<A>(
          sum_of[0].value[e] + bias_of[0].value[e], sum_of[1].value[e] + bias_of[1].value[e],
          sum_of[2].value[e] + bias_of[2].value[e], sum_of[3].value[e] + bias_of[3].value[e], before.value[e]);
      gate_of[0].value[e] = T(value.in);
      gate_of[1].value[e] = T(value.forget);
      gate_of[2].value[e] = T(value.candidate);
      gate_of[3].value[e] = T(value.out);
      new_c.value[e] = value.c;
      new_h.value[e] = T(value.h);
      new_y.value[e] = T(A(factor_of[e]) * A(new_h.value[e]));
    }
    for (int g = 0; g < 4; ++g) write(gate + g * units, gate_of[g]);
    write(c + cell * units + j, new_c);
    write(h + cell * units + j, new_h);
    if (y) write(y + cell * units + j, new_y);
  }
#endif
};

template <class T>
struct CellGrad {  // turns the gates of one step into the gradients of their pre-activations, in place
  using A = accumulate_t<T>;
  T* gates;
  const A *c, *c_before;
  const T* dy;
  A *dh_next, *dc;  // [rows, units]: of step + 1; dc is read and written
  int64_t units, step, before_stride;
  Sequence sequence;
  DropMask mask;
  A* bias_sums;  // [blocks, 4 units]: the GPU adds its blocks' sums over rows here

  POPH_HD void operator()(int64_t i) const {
    const int64_t row = i / units, j = i % units, cell = sequence.at(step, row);
    T* gate = gates + cell * 4 * units;
    const CellGradients<A> g =
        cell_gradients<A>(gate[j], gate[units + j], gate[2 * units + j], gate[3 * units + j], c[cell * units + j],
                          c_before[row * before_stride + j],
                          A(T(A(mask.factor(cell * units + j)) * A(dy[cell * units + j]))) + dh_next[i], dc[i]);
    gate[j] = T(g.in);
    gate[units + j] = T(g.forget);
    gate[2 * units + j] = T(g.candidate);
    gate[3 * units + j] = T(g.out);
    dc[i] = g.dc;
  }
#ifdef POPH_KERNELS
  template <int count>
  __device__ void neighbours(int64_t row, int64_t j, A (&total)[4][count]) const {
    const int64_t cell = sequence.at(step, row), state = row * units + j;
    T* gate = gates + cell * 4 * units + j;
    Neighbours<T, count> gate_of[4];
    for (int g = 0; g < 4; ++g) gate_of[g] = read<count>(gate + g * units);
    const Neighbours<A, count> c_of = read<count>(c + cell * units + j),
                               before = read<count>(c_before + row * before_stride + j);
    const Neighbours<T, count> dy_of = read<count>(dy + cell * units + j);
    double factor_of[count];
    mask.factors(cell * units + j, factor_of);
    const Neighbours<A, count> next = read<count>(dh_next + state);
    Neighbours<A, count> dc_of = read<count>(dc + state);
    for (int e = 0; e < count; ++e) {
      const CellGradients<A> g = cell_gradients<A>(
          gate_of[0].value[e], gate_of[1].value[e], gate_of[2].value[e], gate_of[3].value[e], c_of.value[e],
          before.value[e], A(T(A(factor_of[e]) * A(dy_of.value[e]))) + next.value[e], dc_of.value[e]);
      gate_of[0].value[e] = T(g.in);
      gate_of[1].value[e] = T(g.forget);
      gate_of[2].value[e] = T(g.candidate);
      gate_of[3].value[e] = T(g.out);
      dc_of.value[e] = g.dc;
      for (int k = 0; k < 4; ++k) total[k][e] += A(gate_of[k].value[e]);
    }
    for (int g = 0; g < 4; ++g) write(gate + g * units, gate_of[g]);
    write(dc + state, dc_of);
  }
#endif
};

#ifdef POPH_KERNELS
namespace {

constexpr int cell_threads = 128, rows_per_cell_thread = 4;
// Units that a thread reads together where they are aligned.
template <class T>
constexpr int cell_neighbours = 16 / sizeof(accumulate_t<T>);

// A block has whole rows of units; 2^lane_bits threads beside each other share one.
struct CellBlocks {
  int lane_bits = 0;
  int64_t all_rows, units, rows, blocks;  // rows: of one block
  CellBlocks(int64_t all_rows, int64_t units, int neighbours) : all_rows(all_rows), units(units) {
    while (neighbours << lane_bits < units && 1 << lane_bits < cell_threads) ++lane_bits;
    rows = int64_t{rows_per_cell_thread} * cell_threads >> lane_bits;
    blocks = (all_rows + rows - 1) / rows;
  }
  __device__ int lanes() const { return 1 << lane_bits; }
  __device__ int lane() const { return threadIdx.x & (lanes() - 1); }
  template <class F>
  __device__ void each_row(F f) const {
    const int64_t first = blockIdx.x * rows, end = first + rows < all_rows ? first + rows : all_rows;
    for (int64_t row = first + (threadIdx.x >> lane_bits); row < end; row += cell_threads >> lane_bits) f(row);
  }
};

template <int count, class T>
__global__ void cell_kernel(Cell<T> cell, CellBlocks blocks) {
  blocks.each_row([&](int64_t row) {
    for (int64_t j = blocks.lane() * count; j < cell.units; j += blocks.lanes() * count)
      cell.template neighbours<count>(row, j);
  });
}

// Adds each block's sums over its rows to bias_sums: a row of it is one block's, so that the order is fixed.
template <int count, class T>
__global__ void cell_grad_kernel(CellGrad<T> cell, CellBlocks blocks) {
  using A = accumulate_t<T>;
  __shared__ A sums[4][count][cell_threads];
  const int thread = threadIdx.x;
  for (int64_t begin = 0; begin < cell.units; begin += blocks.lanes() * count) {
    const int64_t j = begin + blocks.lane() * count;
    A total[4][count] = {};
    if (j < cell.units) blocks.each_row([&](int64_t row) { cell.template neighbours<count>(row, j, total); });
    for (int g = 0; g < 4; ++g)
      for (int e = 0; e < count; ++e) sums[g][e][thread] = total[g][e];
    __syncthreads();
    for (int half = cell_threads / 2; half >= blocks.lanes(); half /= 2) {
      if (thread < half)
        for (int g = 0; g < 4; ++g)
          for (int e = 0; e < count; ++e) sums[g][e][thread] += sums[g][e][thread + half];
      __syncthreads();
    }
    if (thread < blocks.lanes() && j < cell.units)
      for (int g = 0; g < 4; ++g)
        for (int e = 0; e < count; ++e) cell.bias_sums[(blockIdx.x * 4 + g) * cell.units + j + e] += sums[g][e][thread];
    __syncthreads();
  }
}

template <class... P>
bool aligned(const P*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

}  // namespace
#endif

template <class T>
void apply_cell(Device device, const Cell<T>& cell) {
#ifdef POPH_KERNELS
  if (device == Device::cuda) {
    constexpr int several = cell_neighbours<T>;
    const CellBlocks blocks(cell.sequence.rows, cell.units, several);
    const bool together =
        cell.units % several == 0 && aligned(cell.gates, cell.c, cell.h, cell.bias, cell.c_before, cell.y, cell.sums);
    return launch_kernel(together ? cell_kernel<several, T> : cell_kernel<1, T>, blocks.blocks, cell_threads, 0, cell,
                         blocks);
  }
#endif
  for_each_index(device, cell.sequence.rows * cell.units, cell);
}

template <class T>
void apply_cell_grad(Device device, const CellGrad<T>& cell) {
#ifdef POPH_KERNELS
  if (device == Device::cuda) {
    constexpr int several = cell_neighbours<T>;
    const CellBlocks blocks(cell.sequence.rows, cell.units, several);
    const bool together =
        cell.units % several == 0 && aligned(cell.gates, cell.c, cell.c_before, cell.dy, cell.dh_next, cell.dc);
    return launch_kernel(together ? cell_grad_kernel<several, T> : cell_grad_kernel<1, T>, blocks.blocks, cell_threads,
                         0, cell, blocks);
  }
#endif
  for_each_index(device, cell.sequence.rows * cell.units, cell);
}

// Zeros for apply_cell_grad to add to, whose rows together are the bias' gradient. Undefined where it only writes the
// gates.
inline Tensor empty_bias_sums([[maybe_unused]] const Tensor& x, [[maybe_unused]] const Sequence& s,
                              [[maybe_unused]] int64_t units) {
#ifdef POPH_KERNELS
  if (x.device() == Device::cuda) {
    const Dtype wide = accumulate_dtype(x.dtype());
    const int neighbours = static_cast<int>(16 / bytes_of(wide));
    return Tensor::zeros({CellBlocks(s.rows, units, neighbours).blocks, 4 * units}, wide, x.device());
  }
#endif
  return {};
}

}  // namespace poph
