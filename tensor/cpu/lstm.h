#pragma once
#include "tensor/cpu/packed_panels.h"
#include "tensor/lstm_cell.h"

// The packed form of the LSTM, with the arguments checked: on the CPU in float32, blocks of rows go through all steps.
namespace poph {

PackedLstm pack_gates(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias);
// Fills result.h, gates, c, and y where there is dropout. x: the inputs that are not in the partial gates.
void lstm_packed(const Tensor& x, const PackedLstm& weights, const Sequence& s, const LstmStart& start,
                 const OutputDropout& dropout, LstmResult& result, const Tensor& partial_gates = {});
LstmGradients lstm_grad_packed(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh,
                               const LstmResult& forward, const Sequence& s, const Tensor& dy, const LstmStart& start,
                               const OutputDropout& dropout);

constexpr int64_t lstm_gates = 4;

// The cut of rows into blocks: small enough that a step's matrices stay in the second-level cache, of equal size, and
// an even number, so that two threads end together. The number of threads plays no part.
struct RowBlocks {
  static constexpr int64_t max_size = 48, rows_worth_two = 17;
  int64_t rows, count, size;
  explicit RowBlocks(int64_t rows) : rows(rows), count((rows + max_size - 1) / max_size) {
    if (rows >= rows_worth_two && count % 2 == 1) ++count;
    size = count ? (rows + count - 1) / count : 0;
  }
  int64_t first(int64_t block) const { return std::min(rows, block * size); }
  int64_t rows_of(int64_t block) const { return std::min(rows, (block + 1) * size) - first(block); }
};

}  // namespace poph
