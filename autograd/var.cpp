#include "autograd/var.h"

#include <algorithm>
#include <queue>
#include <unordered_set>

// The record of operations and the pass back through it.
namespace poph {

// One recorded operation. Later nodes have higher numbers, so handling the highest first is a topological order.
struct Node {
  int64_t number = 0;
  Vars inputs;
  Backward backward;
  std::vector<Shape> output_shapes;
  Dtype dtype;
  Device device;
  Tensors output_gradients;  // summed up while the pass runs

  static std::shared_ptr<Node>& creator_of(const Var& var) { return var.state_->creator; }
  static size_t output_of(const Var& var) { return var.state_->output; }

  // The gradient in the shape and dtype of the variable: a bf16 gradient of a float32 bias is summed in float32.
  static Tensor fitted(const Tensor& gradient, const Tensor& value) {
    return (gradient.shape() == value.shape() ? gradient : sum_to(gradient, value.shape())).to(value.dtype());
  }

  // The closure's gradient may be any tensor, one shared with others too: adding to it in place needs a copy of our
  // own.
  static void accumulate(Tensor& sum, const Tensor& gradient) { sum = sum.defined() ? add(sum, gradient) : gradient; }
};

namespace {

thread_local bool recording = true;
thread_local int64_t next_number = 0;

struct HighestFirst {
  bool operator()(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) const {
    return a->number < b->number;
  }
};

}  // namespace

Var::Var(Tensor value, bool requires_grad) : state_(std::make_shared<State>()) {
  state_->value = std::move(value);
  state_->requires_grad = requires_grad;
}

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }

Vars record_many(Tensors outputs, Vars inputs, Backward backward) {
  Vars made;
  for (Tensor& output : outputs) made.emplace_back(output);
  if (!recording || std::none_of(inputs.begin(), inputs.end(), [](const Var& input) { return input.requires_grad(); }))
    return made;
  auto node = std::make_shared<Node>();
  node->number = next_number++;
  node->inputs = std::move(inputs);
  node->backward = std::move(backward);
  node->dtype = outputs[0].dtype();
  node->device = outputs[0].device();
  node->output_gradients.resize(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    node->output_shapes.push_back(outputs[i].shape());
    made[i].state_->requires_grad = true;
    made[i].state_->creator = node;
    made[i].state_->output = i;
  }
  return made;
}

Var record(Tensor output, Vars inputs, Backward backward) {
  return record_many({std::move(output)}, std::move(inputs), std::move(backward))[0];
}

void backward(const Var& loss) {
  require(loss.defined() && loss.value().elements() == 1, "backward: the loss must be one number");
  require(loss.requires_grad(), "backward: the loss depends on nothing that requires a gradient");
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, HighestFirst> ready;
  std::unordered_set<Node*> queued;
  const auto propagate = [&](const Var& var, const Tensor& gradient) {
    const auto& creator = Node::creator_of(var);
    if (!creator) return Node::accumulate(var.state_->gradient, gradient);
    Node::accumulate(creator->output_gradients[Node::output_of(var)], gradient);
    if (queued.insert(creator.get()).second) ready.push(creator);
  };
  propagate(loss, Tensor::full(loss.shape(), 1, loss.value().dtype(), loss.value().device()));
  while (!ready.empty()) {
    const auto node = ready.top();
    ready.pop();
    require(node->backward != nullptr, "backward: this graph was used already");
    for (size_t i = 0; i < node->output_gradients.size(); ++i)
      if (!node->output_gradients[i].defined())
        node->output_gradients[i] = Tensor::zeros(node->output_shapes[i], node->dtype, node->device);
    const Tensors gradients = node->backward(node->output_gradients);
    node->backward = nullptr;
    node->output_gradients.assign(node->output_gradients.size(), Tensor());
    require(gradients.size() == node->inputs.size(), "backward: ", gradients.size(), " gradients for ",
            node->inputs.size(), " inputs");
    for (size_t i = 0; i < gradients.size(); ++i)
      if (gradients[i].defined() && node->inputs[i].requires_grad())
        propagate(node->inputs[i], Node::fitted(gradients[i], node->inputs[i].value()));
    node->inputs.clear();
  }
}

}  // namespace poph
