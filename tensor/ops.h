#pragma once
#include "tensor/note_features.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

// THE catalogue of operations. No gradients are recorded here: autograd/functions.h does that. Every op takes tensors
// of one device and one floating dtype, returns new ones, and fails with its own name first when shapes do not fit.
// `.._grad` ops take the gradient of the result (dy) and give that of the argument. With bf16 operands every op
// computes in float and rounds its result once; "wide" says what is float32 then: sums, statistics, biases, gains and
// gradients of weights. What stands below an op has a header of its own: gemm.h, lstm.h, attention.h, optimizer.h.
namespace poph {

// -- elementwise (elementwise.cu). Ops of two arguments broadcast as NumPy does.
void fill(Tensor& x, double value);
Tensor convert(const Tensor& x, Dtype dtype);  // f32, f64 and bf16; from f64 to bf16 by way of f32
Tensor add(const Tensor& a, const Tensor& b);
Tensor add_bias(const Tensor& x, const Tensor& bias);  // (.., F) + wide (F)
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, double factor);  // factor * x
void add_into(Tensor& sum, const Tensor& x);   // sum += x, same shape
Tensor sigmoid(const Tensor& x);
Tensor sigmoid_grad(const Tensor& y, const Tensor& dy);  // dy * y * (1 - y)
Tensor tanh(const Tensor& x);
Tensor tanh_grad(const Tensor& y, const Tensor& dy);  // dy * (1 - y^2)
Tensor relu(const Tensor& x);
Tensor relu_grad(const Tensor& y, const Tensor& dy);  // dy where y > 0
Tensor square(const Tensor& x);
Tensor square_grad(const Tensor& x, const Tensor& dy);  // 2 x dy

// -- sums (reduce.cu). They run in a fixed order: the same bits whatever the number of threads.
Tensor sum_to(const Tensor& x, const Shape& shape);  // over the axes that broadcasting from `shape` had stretched; wide
Tensor sum(const Tensor& x);                         // all elements -> [], wide
int64_t count_nonfinite(const Tensor& x);            // how many elements are NaN or infinite, read back to the host

// -- rows: over the last axis (rows.cu)
Tensor softmax(const Tensor& x);
Tensor softmax_grad(const Tensor& y, const Tensor& dy);  // y * (dy - sum(y dy))
struct LayerNormResult {
  Tensor y, normalised, inverse_deviation;  // (.., F), (.., F), wide [rows]
};
LayerNormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon);  // weight: wide
struct LayerNormGradients {
  Tensor dx, dweight, dbias;  // dweight, dbias: wide
};
LayerNormGradients layer_norm_grad(const LayerNormResult& forward, const Tensor& weight, const Tensor& dy);
struct MinResult {
  Tensor value, index;  // (..) and (..) i32; the first of equals
};
MinResult min_last(const Tensor& x);
Tensor min_last_grad(const Tensor& index, const Tensor& dy, int64_t width);

// -- moving elements (index.cu)
Tensor concat_last(const Tensors& parts);                                // (.., Fi) -> (.., sum Fi)
Tensor slice_last(const Tensor& x, int64_t first, int64_t count);        // (.., F) -> (.., count)
Tensor slice_last_grad(const Tensor& dy, int64_t first, int64_t width);  // zeros outside the slice
Tensor concat(const Tensors& parts, int axis);                           // the same along any axis
Tensor slice(const Tensor& x, int axis, int64_t first, int64_t count);
Tensor flip(const Tensor& x, int axis);                         // reverses one axis
Tensor shift(const Tensor& x, int axis, int64_t by);            // x[i - by], zeros where there is none
Tensor permute(const Tensor& x, const std::vector<int>& axes);  // result axis i is x's axis axes[i]
// (.., N, C) -> (.., N, C * kernel), zero padded: what a convolution along N multiplies with its weight
Tensor unfold_notes(const Tensor& x, int64_t kernel, int64_t pad_below);
Tensor unfold_notes_grad(const Tensor& dy, int64_t channels, int64_t kernel, int64_t pad_below);

// -- random numbers (random.cu)
Tensor random_uniform(Shape shape, double low, double high, RandomKey key, Dtype dtype, Device device);
Tensor random_normal(Shape shape, RandomKey key, Dtype dtype, Device device);  // Box-Muller
Tensor dropout(const Tensor& x, double probability, RandomKey key);            // also its own gradient: dropout(dy)

// -- matrices (matmul.cpp). wide: so is the result
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false, bool wide = false);
// x W' + b: (.., I) -> (.., O). The weight is [O, I], as PyTorch keeps it; the bias is wide, or undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, bool wide = false);

// -- MODEL.md "Note features" (note_features.cu), notes in ascending pitch: roll [T,B,N,C], conv [T,B,N,U],
// beat [T,B,16] -> [T,B,N, note_feature_width(U)], in note order (reversed when descending)
Tensor note_features(const Tensor& roll, const Tensor& conv, const Tensor& beat, int64_t lowest_note, bool descending);
Tensor note_features_grad(const Tensor& dy, int64_t octave_units, bool descending);  // of conv
Tensor relative_class_counts(const Tensor& roll, bool descending);                   // -> [T,B,N,11], in note order

// -- the LSTM over one axis of [T,B,N,F] (lstm.cu). Gates in the order i, f, g, o; PyTorch's weight layout. Biases and
// the cells c are wide, and so are the gates' pre-activations. Dropout is what the next layer sees of h.
enum class SequenceAxis { time, notes };
struct LstmState {
  Tensor h, c;  // [rows, H]: rows = B*N along time, T*B along notes; undefined = zeros
};
// What the sequences begin with.
struct LstmStart {
  LstmState state = {};  // before the first step
  // Along time, where the rows begin anew: i32 [T,B], B a divisor of the rows. Step t of row r belongs to a sequence
  // that begins from zero state with step begins[t, r B / rows]; below 0: it began before, and goes on from `state`.
  Tensor begins = {};
};
struct LstmResult {
  Tensor h, gates, c;  // [T,B,N,H], [T,B,N,4H] after their non-linearities, [T,B,N,H]
  Tensor y;            // h after dropout; h itself where there is none
};
LstmResult lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias,
                SequenceAxis axis, const LstmStart& start = {}, const OutputDropout& dropout = {});
struct LstmGradients {
  Tensor dx, dweight_ih, dweight_hh, dbias;  // all but dx: wide
};
// From the gradient of y; the initial state is a constant. May overwrite forward.gates.
LstmGradients lstm_grad(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const LstmResult& forward,
                        SequenceAxis axis, const Tensor& dy, const LstmStart& start = {},
                        const OutputDropout& dropout = {});
LstmState last_state(const LstmResult& result, SequenceAxis axis);  // what a following chunk starts from

// -- attention (attention.cu): memory linear in the lengths; probabilities are recomputed in the backward pass
struct AttentionSettings {
  int64_t heads = 1;
  double scale = 1.0;
  // Query p sees the first (p / visible_step + 1) * visible_step keys; 0: all of them. Queries are the last positions:
  // p counts from (keys - queries).
  int64_t visible_step = 0;
  // With visible_step and as many queries as keys: i32 [T, G], of T steps of Lq / T positions. Queries of step t in
  // group g see no key of a step before begins[t, g]. Undefined: they see all before them.
  Tensor begins = {};
  double dropout = 0;  // on the probabilities
  RandomKey key = {};
};
struct AttentionResult {
  Tensor y, log_sum_exp;  // [G, Lq, heads*D], wide [G, heads, Lq]
};
AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings);
struct AttentionGradients {
  Tensor dq, dk, dv;
};
AttentionGradients attention_grad(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionResult& forward,
                                  const AttentionSettings& settings, const Tensor& dy);

// -- losses (loss.cu)
Tensor bce_with_logits(const Tensor& logit, const Tensor& target);  // max(x,0) - x t + log(1 + exp(-|x|))
Tensor bce_with_logits_grad(const Tensor& logit, const Tensor& target, const Tensor& dy);  // (sigmoid(x) - t) dy

}  // namespace poph
