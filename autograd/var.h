#pragma once
#include <functional>
#include <memory>

#include "tensor/ops.h"

// Reverse-mode differentiation. A Var is a handle on a Tensor and on the Node that created it; copying a Var copies the
// handle.
namespace poph {

struct Node;

class Var {
 public:
  Var() = default;
  explicit Var(Tensor value, bool requires_grad = false);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const { return state_->value; }
  Tensor& value() { return state_->value; }
  const Shape& shape() const { return value().shape(); }
  Tensor& gradient() { return state_->gradient; }  // undefined until a backward pass reached it
  const Tensor& gradient() const { return state_->gradient; }
  bool requires_grad() const { return defined() && state_->requires_grad; }

 private:
  struct State {
    Tensor value, gradient;
    bool requires_grad = false;
    std::shared_ptr<Node> creator;  // none for a leaf
    size_t output = 0;              // which of the creator's outputs this is
  };
  std::shared_ptr<State> state_;

  friend struct Node;
  friend std::vector<Var> record_many(Tensors, std::vector<Var>, std::function<Tensors(const Tensors&)>);
  friend void backward(const Var&);
};

using Vars = std::vector<Var>;
// From the gradients of the outputs (zeros where nothing used one) to one gradient per input, of the input's or of the
// broadcast shape, f32 or bf16 where either is the input's dtype; an undefined Tensor means none. Called at most once,
// so it may overwrite what it captured.
using Backward = std::function<Tensors(const Tensors& dy)>;

// Makes a Var whose gradient `backward` propagates to the inputs. Where no input requires a gradient, or under NoGrad,
// the closure and its captures are dropped at once.
Var record(Tensor output, Vars inputs, Backward backward);
Vars record_many(Tensors outputs, Vars inputs, Backward backward);

// Adds d loss / d leaf to the gradient of every leaf that requires one. `loss` has one element. Frees the graph as it
// goes.
void backward(const Var& loss);

// While one lives, nothing is recorded on this thread.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

}  // namespace poph
