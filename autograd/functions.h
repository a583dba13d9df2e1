#pragma once
#include "autograd/var.h"

// The differentiable functions. Shapes, conventions and errors are those of the op of the same name in tensor/ops.h.
// Parameters are wide: where x is bf16, weights are rounded to it in the forward pass, and their gradients are float32.
namespace poph {

// -- elementwise functions of one argument: f(x), and f_grad(x, dy) or f_grad(y, dy), as ops.h names the first argument
enum class Saves { x, y };
Var elementwise(const Var& x, Tensor (*f)(const Tensor&), Tensor (*f_grad)(const Tensor&, const Tensor&), Saves saves);
inline Var sigmoid(const Var& x) { return elementwise(x, sigmoid, sigmoid_grad, Saves::y); }
inline Var tanh(const Var& x) { return elementwise(x, tanh, tanh_grad, Saves::y); }
inline Var relu(const Var& x) { return elementwise(x, relu, relu_grad, Saves::y); }
inline Var square(const Var& x) { return elementwise(x, square, square_grad, Saves::x); }

// -- the others
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var scale(const Var& x, double factor);
Var sum(const Var& x);                  // -> []
Var mean(const Var& x);                 // -> []
Var mean_axis(const Var& x, int axis);  // the axis becomes 1
Var softmax(const Var& x);
Var min_last(const Var& x);  // the gradient goes to the first smallest
Var layer_norm(const Var& x, const Var& weight, const Var& bias, double epsilon);

Var reshape(const Var& x, Shape shape);
Var concat_last(const Vars& parts);
Var slice_last(const Var& x, int64_t first, int64_t count);
Var flip(const Var& x, int axis);
Var shift(const Var& x, int axis, int64_t by);
Var permute(const Var& x, const std::vector<int>& axes);
Var dropout(const Var& x, double probability, RandomKey key);

Var matmul(const Var& a, const Var& b);  // 2-D
Var linear(const Var& x, const Var& weight, const Var& bias = {}, bool wide = false);
Var unfold_notes(const Var& x, int64_t kernel, int64_t pad_below);
Var note_features(const Tensor& roll, const Var& conv, const Tensor& beat, int64_t lowest_note, bool descending);
// `start` is a constant. `last`, where it is given, gets what the next steps start from.
Var lstm(const Var& x, const Var& weight_ih, const Var& weight_hh, const Var& bias, SequenceAxis axis,
         const OutputDropout& dropout = {}, const LstmStart& start = {}, LstmState* last = nullptr);
Var attention(const Var& q, const Var& k, const Var& v, const AttentionSettings& settings);
Var bce_with_logits(const Var& logit, const Tensor& target);

}  // namespace poph
