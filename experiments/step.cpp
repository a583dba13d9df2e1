#include "experiments/step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace poph {
namespace {

constexpr size_t alignment = 64;

Device device_of(const Biaxial& model) { return model.note_head.weight.value().device(); }

std::shared_ptr<std::byte> within(const std::shared_ptr<std::byte>& block, size_t offset) {
  return {block, block.get() + offset};
}

// A model that only plays has no replay and no volume.
enum LossPlace : int64_t { play, harmony, total, replay, volume, loss_places };

}  // namespace

TrainingStep::Layout::Layout(const Config& config, int64_t windows) {
  const Shape roll{config.data.window, windows, config.model.notes, config.model.channels};
  const Shape beat{config.data.window, windows, steps_per_bar};
  parts = {{{roll, Dtype::f32, 0},
            {roll, Dtype::f32, 0},
            {beat, Dtype::f32, 0},
            {{OptimizerStep::count}, Dtype::f64, 0},
            {{}, Dtype::i32, 0}}};
  for (Part& part : parts) {
    part.offset = bytes;
    bytes += (part.shape.elements() * bytes_of(part.dtype) + alignment - 1) / alignment * alignment;
  }
}

TrainingStep::Inputs TrainingStep::Layout::over(const std::shared_ptr<std::byte>& block, Device device) const {
  const auto tensor = [&](const Part& part) { return Tensor::over(within(block, part.offset), part.shape, part.dtype, device); };
  return {{tensor(parts[0]), tensor(parts[1]), tensor(parts[2])}, tensor(parts[3]), tensor(parts[4])};
}

TrainingStep::Slot::Slot(const Layout& layout, int64_t parameters, Device device)
    : staging(allocate_staging(device, layout.bytes)),
      uploaded(allocate(device, layout.bytes)),
      inputs(layout.over(staging, Device::cpu)),
      losses(Tensor::over(allocate_staging(device, loss_places * sizeof(float)), {loss_places}, Dtype::f32)),
      squares(Tensor::over(allocate_staging(device, 2 * parameters * sizeof(double)), {2, parameters}, Dtype::f64)),
      upload(device),
      done(device) {}

TrainingStep::Size::Size(const Config& config, int64_t count, int64_t parameters, Device device)
    : windows(count),
      layout(config, count),
      slot{{{layout, parameters, device}, {layout, parameters, device}}},
      memory(allocate(device, layout.bytes)),
      inputs(layout.over(memory, device)),
      losses(Tensor::zeros({loss_places}, Dtype::f32, device)),
      squares(Tensor::zeros({2, parameters}, Dtype::f64, device)) {}

TrainingStep::TrainingStep(const Config& config, Biaxial& model, const LossFunction& loss, Optimizer& optimizer)
    : config_(config),
      model_(model),
      loss_(loss),
      optimizer_(optimizer),
      device_(device_of(model)),
      parameters_(static_cast<int64_t>(model.parameter_tensors().size())),
      halted_(Tensor::zeros({}, Dtype::f64, device_)),
      graphs_(device_ == Device::cuda) {
  if (graphs_) arena_.emplace(device_);
}

TrainingStep::~TrainingStep() {
  try {
    synchronize(device_);
  } catch (const std::exception&) {  // the GPU failed, and whoever uses it next is told
  }
}

void TrainingStep::start(int64_t windows, uint32_t number, double learning_rate, const Fill& fill) {
  require(queued_.size() < slots, "training step: ", slots, " are in flight already");
  const auto [found, is_new] = sizes_.try_emplace(windows, config_, windows, parameters_, device_);
  Size& size = found->second;
  if (is_new) {
    optimizer_.prepare(model_);
    synchronize(device_);  // the new blocks may have had another use, which the upload would not wait for
  }
  Slot& slot = size.slot[size.steps % slots];
  fill(slot.inputs.batch);
  const OptimizerCounters before = optimizer_;
  optimizer_.next_step(learning_rate).write(slot.inputs.update);
  *slot.inputs.number.data<int32_t>() = static_cast<int32_t>(number);

  queue_copy(Queue::upload, device_, slot.uploaded.get(), slot.staging.get(), size.layout.bytes);
  slot.upload.record(Queue::upload);
  slot.upload.hold(Queue::work);
  queue_copy(Queue::work, device_, size.memory.get(), slot.uploaded.get(), size.layout.bytes);
  run(size);
  queue_copy(Queue::work, device_, slot.losses.raw(), size.losses.raw(), size.losses.bytes());
  queue_copy(Queue::work, device_, slot.squares.raw(), size.squares.raw(), size.squares.bytes());
  slot.done.record(Queue::work);
  ++size.steps;
  queued_.push_back({&size, &slot, before});
}

void TrainingStep::run(Size& size) {
  if (graphs_ && size.steps > 0 && !size.graph) {
    try {
      size.graph.emplace([&] { queue_work(size); });
      if (std::exchange(first_graph_, false)) note_ = "steps replay one CUDA graph";
    } catch (const std::exception& error) {
      graphs_ = false;
      note_ = joined("steps run without a CUDA graph: ", error.what());
    }
  }
  if (size.graph)
    size.graph->replay();
  else
    queue_work(size);
}

void TrainingStep::queue_work(Size& size) {
  const Tf32Products tf32(config_.train.precision == Precision::tf32);
  Inputs& in = size.inputs;
  forget_gradients(model_);
  {
    const Arena::Scope scope(arena_ ? &*arena_ : nullptr);
    Pass pass{.training = true, .seed = config_.seed, .step_at = reinterpret_cast<const uint32_t*>(in.number.data<int32_t>())};
    const Losses losses = loss_(model_(in.batch.input, in.batch.target, in.batch.beat, pass), in.batch.target);
    for (const auto& [place, loss] : {std::pair{play, &losses.play},
                                      {harmony, &losses.harmony},
                                      {total, &losses.total},
                                      {replay, &losses.replay},
                                      {volume, &losses.volume}})
      if (loss->defined()) size.losses.slice(place, 1).copy_from(loss->value().reshape({1}));
    backward(losses.total);
    Tensor squares = sums_of_squares(gradients_of(model_));
    if (config_.train.clip_norm > 0) clip(in.update, squares, config_.train.clip_norm);
    guard(in.update, halted_, size.losses, squares);
    size.squares.slice(0, 1).copy_from(squares.reshape({1, parameters_}));
  }
  optimizer_.update(model_, in.update);
  forget_gradients(model_);
  const Arena::Scope scope(arena_ ? &*arena_ : nullptr);
  Tensors weights;
  model_.each_parameter([&](const std::string&, Var& weight) { weights.push_back(weight.value()); });
  size.squares.slice(1, 1).copy_from(sums_of_squares(weights).reshape({1, parameters_}));
}

TrainingStep::Result TrainingStep::finish() {
  require(!queued_.empty(), "training step: none is in flight");
  const auto [size, slot, before] = queued_.front();
  queued_.pop_front();
  before_finished_ = before;
  slot->done.wait();
  const float* row = slot->losses.data<float>();
  Result result{size->windows, {row[play], row[harmony], row[total], {}, {}}, {}, {}};
  if (config_.model.channels > 1) {
    result.losses.replay = row[replay];
    result.losses.volume = row[volume];
  }
  const double* squares = slot->squares.data<double>();
  result.gradient_squares.assign(squares, squares + parameters_);
  result.weight_squares.assign(squares + parameters_, squares + 2 * parameters_);
  return result;
}

bool TrainingStep::Result::applied() const {
  const auto finite = [](double x) { return std::isfinite(x); };
  return losses.not_finite().empty() && std::all_of(gradient_squares.begin(), gradient_squares.end(), finite);
}

double TrainingStep::Result::gradient_norm() const {
  return std::sqrt(std::accumulate(gradient_squares.begin(), gradient_squares.end(), 0.0));
}

void TrainingStep::pass_over() {
  synchronize(device_);
  queued_.clear();
  static_cast<OptimizerCounters&>(optimizer_) = before_finished_;
  halted_.copy_from(Tensor::zeros({}, Dtype::f64));
}

std::string TrainingStep::take_note() { return std::exchange(note_, {}); }

}  // namespace poph
