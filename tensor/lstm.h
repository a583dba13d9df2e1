#pragma once
#include "tensor/ops.h"

// Below lstm and lstm_grad of ops.h: weights that are packed once and used for many calls, and the plain forms that the
// fast ones are compared with.
namespace poph {

// A layer's weights laid out as the CPU's float32 kernel reads them, for a layer that is called again and again.
struct PackedLstm {
  Tensor panels, bias;  // undefined where there is no such kernel: another device or dtype
  int64_t units = 0;
};
PackedLstm pack_lstm(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias);

// Partial gate pre-activations from the first inputs: bias + x W_ih' over the columns that are known early. x is
// [T,B,N,I'], the result has a row for each cell, in the kernel's own order.
Tensor lstm_partial_gates(const Tensor& x, const PackedLstm& packed);

// lstm with packed weights, from partial gates where they are defined: x then has the other inputs alone. The bits are
// those of lstm with all inputs at once.
LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                SequenceAxis axis, const LstmStart& start, const OutputDropout& dropout, const PackedLstm& packed,
                const Tensor& partial_gates = {});

// The same results from whole-batch steps of simple ops: what runs on the GPU, in f64 and for little work, and the twin
// of the CPU's packed form (cpu/lstm.cpp).
LstmResult lstm_stepwise(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                         SequenceAxis axis, const LstmStart& start = {}, const OutputDropout& dropout = {});
LstmGradients lstm_grad_stepwise(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh,
                                 const LstmResult& forward, SequenceAxis axis, const Tensor& dy,
                                 const LstmStart& start = {}, const OutputDropout& dropout = {});

}  // namespace poph
