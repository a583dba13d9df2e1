#pragma once
#include <array>
#include <deque>
#include <map>
#include <optional>

#include "experiments/config.h"
#include "experiments/evaluator.h"
#include "nn/optimizer.h"
#include "tensor/graph.h"

namespace poph {

// Updates of a model's weights, queued so that the device never waits for the host: while it is busy with one step, the host
// makes the next batch, in memory from which it is uploaded meanwhile, and reads the losses of the step before. What differs from
// step to step (the batch, the step's number, the optimiser's factors) lies in the device's memory at a fixed place, so on a GPU
// a step is one CUDA graph: a batch size's first step is queued call by call, its second is captured, and it and all later ones
// are replays. On the CPU every step runs call by call, within start().
class TrainingStep {
 public:
  // All must outlive this; the tensors of model and optimiser must stay the same ones from the first step on.
  TrainingStep(const Config& config, Biaxial& model, const LossFunction& loss, Optimizer& optimizer);
  ~TrainingStep();  // waits for what is in flight

  using Fill = std::function<void(Batch& batch)>;  // writes every number of a batch, on the CPU in float32

  // Queues an update by a batch of so many windows. `number` counts steps from 0: dropout's masks depend on it. At most two may
  // be in flight.
  void start(int64_t windows, uint32_t number, double learning_rate, const Fill& fill);
  int64_t in_flight() const { return static_cast<int64_t>(queued_.size()); }

  struct Result {
    int64_t windows = 0;
    LossValues losses;  // before the update
    std::vector<double> gradient_squares, weight_squares;  // by parameter, in the model's order: sums over elements; weights after it

    bool applied() const;  // losses and gradients were finite
    double gradient_norm() const;
  };
  // Of the oldest in flight; waits for that one alone. Where a loss or a gradient was NaN or infinite the device has changed nothing,
  // neither in this step nor in one behind it: until pass_over(), all are held.
  Result finish();

  // After a result that was not applied: forgets the steps behind it, which the caller starts again, and lets updates go on. The
  // optimiser counts none of them.
  void pass_over();

  std::string take_note();  // a line for the user, once: which way steps take

 private:
  static constexpr size_t slots = 2;  // a step in flight has one, in the host's memory and the device's

  struct Inputs {
    Batch batch;
    Tensor update, number;  // OptimizerStep, [] i32
  };
  struct Part {
    Shape shape;
    Dtype dtype;
    size_t offset;
  };
  // Everything in one block, so that one copy uploads it.
  struct Layout {
    Layout(const Config& config, int64_t windows);
    Inputs over(const std::shared_ptr<std::byte>& block, Device device) const;
    size_t bytes = 0;
    std::array<Part, 5> parts;
  };
  struct Slot {
    Slot(const Layout& layout, int64_t parameters, Device device);
    std::shared_ptr<std::byte> staging, uploaded;  // on the host, on the device
    Inputs inputs;                                 // in staging
    Tensor losses, squares;                        // on the host
    Event upload, done;
  };
  // What steps of one batch size share. Kept, for the last batch of an epoch comes again.
  struct Size {
    Size(const Config& config, int64_t windows, int64_t parameters, Device device);
    int64_t windows, steps = 0;
    Layout layout;
    std::array<Slot, slots> slot;
    std::shared_ptr<std::byte> memory;
    Inputs inputs;  // in memory: what the step reads
    Tensor losses;  // what it writes: play, harmony, total, replay, volume
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

  const Config& config_;
  Biaxial& model_;
  const LossFunction& loss_;
  Optimizer& optimizer_;
  const Device device_;
  const int64_t parameters_;  // tensors of them
  Tensor halted_;             // f64 [] on the device: a step was not applied
  OptimizerCounters before_finished_;
  bool graphs_;  // until one fails
  bool first_graph_ = true;
  std::optional<Arena> arena_;
  std::map<int64_t, Size> sizes_;
  std::deque<Queued> queued_;
  std::string note_;
};

}  // namespace poph
