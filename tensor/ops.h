#pragma once
#include "tensor/random.h"
#include "tensor/tensor.h"

// THE catalogue of raw operations: no gradients are recorded here (autograd/functions.h does that). Every op takes tensors of
// one device and one floating dtype, returns new ones, and fails with its own name first when shapes do not fit. `.._grad`
// ops take the gradient of the result (dy) and give that of the argument. With bf16 operands every op computes in float and rounds
// its result once; "wide" says what is float32 then: sums, statistics, biases, gains and gradients of weights.
namespace poph {

// -- maps (elementwise.cu). Two-argument ones broadcast as NumPy does.
void fill(Tensor& x, double value);
Tensor convert(const Tensor& x, Dtype dtype);             // f32, f64 and bf16; from f64 to bf16 by way of f32
Tensor add(const Tensor& a, const Tensor& b);
Tensor add_bias(const Tensor& x, const Tensor& bias);     // (.., F) + wide (F)
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, double factor);             // factor * x
void add_into(Tensor& sum, const Tensor& x);              // sum += x, same shape
Tensor sigmoid(const Tensor& x);
Tensor sigmoid_grad(const Tensor& y, const Tensor& dy);   // dy * y * (1 - y)
Tensor tanh(const Tensor& x);
Tensor tanh_grad(const Tensor& y, const Tensor& dy);      // dy * (1 - y^2)
Tensor relu(const Tensor& x);
Tensor relu_grad(const Tensor& y, const Tensor& dy);      // dy where y > 0
Tensor square(const Tensor& x);
Tensor square_grad(const Tensor& x, const Tensor& dy);    // 2 x dy

// -- sums and rows (reduce.cu). Sums run in a fixed order: the same bits whatever the number of threads.
Shape broadcast(const Shape& a, const Shape& b, const char* op = "broadcast");  // op: whose error it is
Tensor sum_to(const Tensor& x, const Shape& shape);       // sums the axes that broadcasting from `shape` had stretched; wide
Tensor sum(const Tensor& x);                              // all elements -> [], wide
Tensor softmax(const Tensor& x);                          // over the last axis
Tensor softmax_grad(const Tensor& y, const Tensor& dy);   // y * (dy - sum(y dy))
struct LayerNormResult {
  Tensor y, normalised, inverse_deviation;                // (.., F), (.., F), wide (..)
};
LayerNormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon);  // weight, bias: wide
struct LayerNormGradients {
  Tensor dx, dweight, dbias;                              // dweight, dbias: wide
};
LayerNormGradients layer_norm_grad(const LayerNormResult& forward, const Tensor& weight, const Tensor& dy);
struct MinResult {
  Tensor value, index;                                    // (..) and (..) i32; the first of equals
};
MinResult min_last(const Tensor& x);                      // over the last axis
Tensor min_last_grad(const Tensor& index, const Tensor& dy, int64_t width);
int64_t count_nonfinite(const Tensor& x);                 // how many elements are NaN or infinite, read back to the host

// -- moving elements (index.cu)
Tensor concat_last(const Tensors& parts);                                        // (.., Fi) -> (.., sum Fi)
Tensor slice_last(const Tensor& x, int64_t first, int64_t count);                // (.., F) -> (.., count)
Tensor slice_last_grad(const Tensor& dy, int64_t first, int64_t width);          // zeros outside the slice
Tensor flip(const Tensor& x, int axis);                                          // reverses one axis
Tensor shift(const Tensor& x, int axis, int64_t by);                             // x[i - by], zeros where there is none
Tensor permute(const Tensor& x, const std::vector<int>& axes);                   // result axis i is x's axis axes[i]

// -- random numbers (random.cu)
Tensor random_uniform(Shape shape, double low, double high, RandomKey key, Dtype dtype, Device device);
Tensor random_normal(Shape shape, RandomKey key, Dtype dtype, Device device);    // Box-Muller
Tensor dropout(const Tensor& x, double probability, RandomKey key);              // also its own gradient: dropout(dy)
// Dropout that an op applies to its result as it writes it, with the numbers that dropout() would draw for it.
struct OutputDropout {
  double probability = 0;
  RandomKey key = {};
};
// Elements [first, first + count) of a result, from x to y. On the calling thread; CPU, f32.
void dropout_run(const OutputDropout& dropout, int64_t first, int64_t count, const float* x, float* y);

// -- matrices (matmul.cpp): x (.., K), w as PyTorch keeps it
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false,
              bool wide = false);                                                // 2-D; wide: the result is
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias,
              bool wide = false);                                                // x W' + b: (.., I) -> (.., O); a wide bias, or undefined
// Row-major; C = alpha op(A) op(B) + beta C, summed in accumulate_t<T>. To is T or accumulate_t<T>.
template <class T, class To>
void gemm(Device device, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, accumulate_t<T> alpha, const T* a,
          int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc);
struct Batched {
  int64_t count, stride_a, stride_b, stride_c;                                   // elements from one matrix to the next
};
template <class T, class To>
void gemm_batched(Device device, Batched batch, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                  accumulate_t<T> alpha, const T* a, int64_t lda, const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc);
// The part of a gemm that one thread does; what an OpenMP loop over blocks calls. CPU only.
template <class T, class To>
void gemm_serial(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, accumulate_t<T> alpha, const T* a, int64_t lda,
                 const T* b, int64_t ldb, accumulate_t<T> beta, To* c, int64_t ldc);

template <class T>
void gemm_few_rows(int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb, T beta, T* c,
                   int64_t ldc);                                                   // A B' (few_rows.cu)

// -- the octave convolution and the note features (conv.cu). Layout [T, B, N, ..], notes in ascending pitch.
Tensor unfold_notes(const Tensor& x, int64_t kernel, int64_t pad_below);         // (.., N, C) -> (.., N, C*kernel), zero padded
Tensor unfold_notes_grad(const Tensor& dy, int64_t channels, int64_t kernel, int64_t pad_below);
// SPEC 3: roll [T,B,N,C], conv [T,B,N,U], beat [T,B,16] -> [T,B,N,1+12+1+U+16], in note order (reversed when descending).
Tensor note_features(const Tensor& roll, const Tensor& conv, const Tensor& beat, int64_t lowest_note, bool descending);
Tensor note_features_grad(const Tensor& dy, int64_t octave_units, bool descending);   // of conv

// -- the LSTM over one axis of [T, B, N, F] (lstm.cu). Gates in the order i, f, g, o; PyTorch's weight layout. Biases and the
// cells c are wide, and so are the sums that the gates are made from.
enum class SequenceAxis { time, notes };
struct LstmState {
  Tensor h, c;                                            // [rows, H]: rows = B*N along time, T*B along notes; undefined = zeros
};
struct LstmResult {
  Tensor h, gates, c;                                     // [T,B,N,H], [T,B,N,4H] after their non-linearities, [T,B,N,H]
  Tensor y;                                               // what dropout leaves of h for the next layer; h where there is none
};
// A layer's weights laid out as the CPU's float32 kernel reads them: to be kept where the layer is called again and again.
struct LstmPanels {
  Tensor panels, bias;                                    // undefined where there is no such kernel: another device or dtype
  int64_t units = 0;
};
LstmPanels lstm_panels(const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias);
// The gates' sums as far as the first of a layer's inputs make them, where those are known long before the others: of x [T,B,N,I'],
// a row for each cell in the kernel's own order. `lstm` goes on from there with the inputs behind them, to the same bits.
Tensor lstm_begun(const Tensor& x, const LstmPanels& kept);
LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias, SequenceAxis axis,
                const LstmState& initial = {}, const OutputDropout& dropout = {});
LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias, SequenceAxis axis,
                const LstmState& initial, const OutputDropout& dropout, const LstmPanels& kept, const Tensor& begun = {});
struct LstmGradients {
  Tensor dx, dweight_ih, dweight_hh, dbias;               // all but dx: wide
};
// From zero initial state and the gradient of y. May overwrite forward.gates.
LstmGradients lstm_grad(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const LstmResult& forward,
                        SequenceAxis axis, const Tensor& dy, const OutputDropout& dropout = {});
// The same from whole-batch steps of simple ops: what runs on the GPU, in f64 and for little work, and the twin of the CPU's
// blocked form (lstm_rows.cpp).
LstmResult lstm_stepwise(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias, SequenceAxis axis,
                         const LstmState& initial = {}, const OutputDropout& dropout = {});
LstmGradients lstm_grad_stepwise(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const LstmResult& forward,
                                 SequenceAxis axis, const Tensor& dy, const OutputDropout& dropout = {});
LstmState last_state(const LstmResult& result, SequenceAxis axis);   // what a following chunk starts from

// -- attention (attention.cu): memory linear in the lengths; probabilities are recomputed in the backward pass
struct AttentionSettings {
  int64_t heads = 1;
  double scale = 1.0;
  int64_t visible_step = 0;  // query p sees the first (p / visible_step + 1) * visible_step keys; 0: all of them.
                             // Queries are the last ones: p counts from (keys - queries)
  double dropout = 0;        // on the probabilities
  RandomKey key = {};
};
struct AttentionResult {
  Tensor y, log_sum_exp;                                  // [G, Lq, heads*D], wide [G, heads, Lq]
};
AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings);
struct AttentionGradients {
  Tensor dq, dk, dv;
};
AttentionGradients attention_grad(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionResult& forward,
                                  const AttentionSettings& settings, const Tensor& dy);
// The same from matrix products and softmax rows over all keys: what runs on the GPU, in f64 and bf16 and for a few queries, and
// the twin of the CPU's blocked form (attention_blocks.cpp).
AttentionResult attention_plain(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings);
AttentionGradients attention_grad_plain(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionResult& forward,
                                        const AttentionSettings& settings, const Tensor& dy);

// -- losses (loss.cu)
Tensor bce_with_logits(const Tensor& logit, const Tensor& target);               // max(x,0) - x t + log(1 + exp(-|x|))
Tensor bce_with_logits_grad(const Tensor& logit, const Tensor& target, const Tensor& dy);  // (sigmoid(x) - t) dy

// -- optimiser steps (optimizer.cu), in place on one parameter and its moments; none of them bf16. A step's numbers are a tensor
// [OptimizerStep::count] on the parameter's device, read when the update runs: a graph that replays it finds those of the day.
struct OptimizerStep {
  double beta1, beta2, epsilon, decay;                    // decay: decoupled weight decay times the learning rate (AdamW)
  double gradient_factor, moment_factor;                  // what multiplies g and m in the update, bias corrections included
  double second_correction;                               // 1 / (1 - beta2^t)
  double learning_rate;                                   // of sgd_update
  double gradient_scale = 1;                              // from norm clipping; 1 is none
  double apply = 1;                                       // 0: the update changes nothing

  static constexpr int64_t count = 10;
  void write(Tensor& to) const;                           // f64 [count] on the CPU
  Tensor on(Device device) const;
};
void adam_update(Tensor& parameter, Tensor& moment, Tensor& second_moment, const Tensor& gradient, const Tensor& step);
void sgd_update(Tensor& parameter, const Tensor& gradient, const Tensor& step);
Tensor sums_of_squares(const Tensors& all);               // of each, in a fixed order: f64 [n]; 0 for one that is undefined
void clip(Tensor& step, const Tensor& squares, double longest);  // its gradient_scale: min(1, longest / sqrt(sum of squares [n]))
// Its `apply` becomes 0, and `halted` (f64 []) 1, where a loss (f32) or a square (f64) is NaN or infinite, or `halted` was not 0.
// A square that is too large for float32 moments, in its scale, becomes infinite.
void guard(Tensor& step, Tensor& halted, const Tensor& losses, Tensor& squares);

}  // namespace poph
