#pragma once
#include <functional>
#include <memory>

#include "tensor/ops.h"

// Reverse-mode differentiation. A Var is a handle on a Tensor and on the Node that made it; copying a Var copies the handle.
namespace poph {

struct Node;

class Var {
 public:
  Var() = default;
  explicit Var(Tensor value, bool wants_gradient = false);

  bool defined() const { return state_ != nullptr; }
  const Tensor& value() const { return state_->value; }
  Tensor& value() { return state_->value; }
  const Shape& shape() const { return value().shape(); }
  Tensor& gradient() { return state_->gradient; }  // undefined until a backward pass reached it
  const Tensor& gradient() const { return state_->gradient; }
  bool wants_gradient() const { return defined() && state_->wants_gradient; }

 private:
  struct State {
    Tensor value, gradient;
    bool wants_gradient = false;
    std::shared_ptr<Node> maker;  // none for a leaf
    size_t output = 0;            // which of the maker's outputs this is
  };
  std::shared_ptr<State> state_;

  friend struct Node;
  friend std::vector<Var> record_many(Tensors, std::vector<Var>, std::function<Tensors(const Tensors&)>);
  friend void backward(const Var&);
};

using Vars = std::vector<Var>;
// From the gradients of the outputs (zeros where nothing used one) to one gradient per input, of the input's or of the broadcast
// shape, f32 or bf16 where either is the input's dtype; an undefined Tensor says "none". Called at most once, so it may overwrite
// what it captured.
using Backward = std::function<Tensors(const Tensors& dy)>;

// Makes a Var whose gradient `backward` will hand on to the inputs. When no input wants a gradient, or under NoGrad, the closure
// and what it captured are dropped at once.
Var record(Tensor output, Vars inputs, Backward backward);
Vars record_many(Tensors outputs, Vars inputs, Backward backward);

// Adds d loss / d leaf to the gradient of every leaf that wants one. `loss` has one element. Frees the graph as it goes.
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
