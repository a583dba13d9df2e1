#pragma once
#include "tensor/ops.h"
#include "tensor/parallel.h"

namespace poph {

// One axis of [T, B, N, F] as a sequence: element (step, row) is row `step * step_stride + row * row_stride` of the flat matrix.
// Neither direction needs a permuted copy.
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

}  // namespace poph
