#pragma once
#include <array>
#include <deque>
#include <map>
#include <optional>

#include "experiments/config/config.h"
#include "experiments/train/evaluator.h"
#include "nn/optimizer.h"
#include "tensor/graph.h"

// Updates of a model's weights, queued so that the device never waits for the host: while it is busy with one step, the
// host makes the next batch, in memory from which it is uploaded meanwhile, and reads the losses of the step before.
// What differs from step to step (the batch, the step's number, the optimiser's factors) lies in the device's memory at
// a fixed place, so on a GPU a step is one CUDA graph: a batch size's first step is queued call by call, its second is
// captured, and it and all later ones are replays. On the CPU every step runs call by call, within start().
//
// A batch is cut into train.shards parts (MODEL.md "Optimisers"). Each is computed alone, one after the other, and
// their gradients are added as a balanced binary tree. Lanes carry the states of their layers from step to step.
namespace poph {

// The tensors of a part of a batch that has so many windows or lanes.
BatchLayout batch_layout(const Config& config, int64_t columns);

Optimizer make_optimizer(const TrainConfig& train);

class TrainingStep {
 public:
  // All must outlive this; the tensors of model and optimiser must stay the same ones from the first step on.
  TrainingStep(const Config& config, Biaxial& model, const LossFunction& loss, Optimizer& optimizer);
  ~TrainingStep();  // waits for the steps in flight

  // Writes every number of a part of a batch, from this column on, on the CPU in float32.
  using Fill = std::function<void(Batch& part, int64_t first_column)>;

  // Queues an update by a batch of so many windows or lanes. `number` counts steps from 0: dropout's masks depend on
  // it. At most two may be in flight.
  void start(int64_t columns, uint32_t number, double learning_rate, const Fill& fill);
  int64_t in_flight() const { return static_cast<int64_t>(queued_.size()); }

  struct Result {
    LossValues losses;  // before the update
    // by parameter, in the model's order: sums over elements; the weights are those after the update
    std::vector<double> gradient_squares, weight_squares;

    bool applied() const;  // losses and gradients were finite
    double gradient_norm() const;
  };
  // The oldest step in flight; waits for that one alone. Where a loss or a gradient was NaN or infinite, the device has
  // changed nothing, neither in this step nor in those after it: until skip() it applies no update.
  Result finish();

  // After a result that was not applied: drops the steps after it, which the caller starts again, and applies updates
  // again. The optimiser counts none of them.
  void skip();

  // Lanes: the state of the layers along time after the last step that was applied, of all lanes, on the CPU. Call them
  // with no step in flight.
  std::vector<LstmState> carried() const;
  // The same of a shard's lanes, on the device; empty for windows.
  std::vector<LstmState> carried_by(int64_t shard) const {
    return carried_.empty() ? std::vector<LstmState>{} : carried_[shard];
  }
  void set_carried(const std::vector<LstmState>& states);  // Error: other shapes

  std::string take_note();  // a line for the user, once: whether steps run as a CUDA graph

 private:
  static constexpr size_t slots = 2;  // one for each step in flight, in the host's memory and the device's

  struct Inputs {
    std::vector<Batch> shards;
    Tensor update, number;  // OptimizerStep, [] i32
  };
  // All inputs in one block, so that one copy uploads them.
  struct Layout {
    Layout(const Config& config, int64_t columns);
    Inputs over(const std::shared_ptr<std::byte>& block, Device device) const;
    std::vector<BatchLayout::Part> parts;  // of a shard
    int64_t shards;
    size_t bytes = 0;  // of all, from a walk like that of over()
  };
  struct Slot {
    Slot(const Layout& layout, int64_t parameters, Device device);
    std::shared_ptr<std::byte> staging, uploaded;  // on the host, on the device
    Inputs inputs;                                 // in staging
    Tensor losses, squares;                        // on the host
    Event upload, done;
  };
  // The memory and the graph of one batch size. The last batch of an epoch has a size of its own, epoch after epoch.
  struct Size {
    Size(const Config& config, int64_t columns, int64_t parameters, Device device);
    int64_t steps = 0;
    Layout layout;
    std::array<Slot, slots> slot;
    std::shared_ptr<std::byte> memory;
    Inputs inputs;   // in memory; a step reads these
    Tensor losses;   // and writes these: one of each part, 0 where it is absent
    Tensor squares;  // [2, parameters]: of the gradients, of the weights
    std::optional<Graph> graph;
  };
  struct Queued {
    Size* size;
    Slot* slot;
    OptimizerCounters before;
  };

  void run(Size& size);
  void queue_work(Size& size);
  // Of the loss of all shards; leaves the gradients in the parameters and returns the states after the step.
  std::vector<std::vector<LstmState>> forward_and_backward(Size& size);

  const Config& config_;
  Biaxial& model_;
  const LossFunction& loss_;
  Optimizer& optimizer_;
  const Device device_;
  const int64_t parameters_;  // their number
  Tensor halted_;             // f64 [] on the device: a step was not applied
  // Lanes: the state that the next step begins from, [shard][layer], at a fixed place; empty for windows.
  std::vector<std::vector<LstmState>> carried_;
  OptimizerCounters before_finished_;
  bool graphs_;  // until one fails
  bool first_graph_ = true;
  std::optional<Arena> arena_;
  std::map<int64_t, Size> sizes_;
  std::deque<Queued> queued_;
  std::string note_;
};

}  // namespace poph
