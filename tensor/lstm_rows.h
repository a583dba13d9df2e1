#pragma once
#include "tensor/panels.h"
#include "tensor/sequence.h"

// The CPU's float32 form of the LSTM, with the arguments checked: blocks of rows through all steps.
namespace poph {

LstmPanels pack_lstm(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias);
// Fills result.h, gates, c, and y where there is dropout. x: the inputs that `begun` (lstm_begun) does not hold.
void lstm_rows(const Tensor& x, const LstmPanels& weights, const Sequence& s, const LstmState& initial,
               const OutputDropout& dropout, LstmResult& result, const Tensor& begun = {});
LstmGradients lstm_grad_rows(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const LstmResult& forward,
                             const Sequence& s, const Tensor& dy, const OutputDropout& dropout);

constexpr int64_t lstm_gates = 4;

// How rows are cut into blocks: of at most 48, for which a step's matrices stay in the second-level cache; of equal size and an
// even number, so that two threads end together. The number of threads plays no part.
struct RowBlocks {
  int64_t rows, count, size;
  explicit RowBlocks(int64_t rows) : rows(rows), count((rows + 47) / 48) {
    if (rows > 16 && count % 2 == 1) ++count;
    size = count ? (rows + count - 1) / count : 0;
  }
  int64_t first(int64_t block) const { return std::min(rows, block * size); }
  int64_t rows_of(int64_t block) const { return std::min(rows, (block + 1) * size) - first(block); }
};

// Rows of a matrix in a cache: not a power of two apart, which would send them all to the same few cache lines.
inline int64_t stride_of(int64_t width) { return padded(width) + widest; }

}  // namespace poph
