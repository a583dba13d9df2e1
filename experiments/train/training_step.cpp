#include "experiments/train/training_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace poph {
namespace {

constexpr size_t alignment = 64;

size_t padded_bytes(const Shape& shape, Dtype dtype) {
  return (shape.elements() * bytes_of(dtype) + alignment - 1) / alignment * alignment;
}

// Sums of gradients as a balanced binary tree, (g0 + g1) + (g2 + g3) .., of a power of two of terms.
class GradientTree {
 public:
  void add(Tensors term) {
    for (int64_t level = 0;; ++level) {
      if (sums_.empty() || sums_.back().first != level) return sums_.emplace_back(level, std::move(term)), void();
      Tensors lower = std::move(sums_.back().second);
      sums_.pop_back();
      for (size_t i = 0; i < term.size(); ++i)
        if (term[i].defined()) add_into(lower[i], term[i]);
      term = std::move(lower);
    }
  }
  const Tensors& sum() const { return sums_.front().second; }

 private:
  std::vector<std::pair<int64_t, Tensors>> sums_;  // of 2^level terms each
};

constexpr int64_t loss_count = std::size(loss_parts);

}  // namespace

BatchLayout batch_layout(const Config& config, int64_t columns) {
  return {.steps = config.data.window,
          .columns = columns,
          .notes = config.model.notes,
          .channels = config.model.channels,
          .match_features = config.model.match_width(),
          .styles = config.model.styles,
          .begins = !config.data.staggered,
          .weights = !config.data.staggered || config.train.shards > 1,
          .span = config.loss.harmony.span};
}

Optimizer make_optimizer(const TrainConfig& train) {
  Optimizer optimizer;
  optimizer.kind = train.optimizer;
  optimizer.weight_decay = train.weight_decay;
  optimizer.average = train.average;
  return optimizer;
}

TrainingStep::Layout::Layout(const Config& config, int64_t columns) : shards(config.train.shards) {
  require(columns % shards == 0, "training step: ", columns, " columns do not divide into ", shards, " shards");
  parts = batch_layout(config, columns / shards).parts();
  bytes += shards * std::accumulate(parts.begin(), parts.end(), size_t{0}, [](size_t sum, const auto& part) {
             return sum + padded_bytes(part.shape, part.dtype);
           });
  bytes += padded_bytes({OptimizerStep::count}, Dtype::f64) + padded_bytes({}, Dtype::i32);
}

TrainingStep::Inputs TrainingStep::Layout::over(const std::shared_ptr<std::byte>& block, Device device) const {
  size_t offset = 0;
  const auto next = [&](const Shape& shape, Dtype dtype) {
    const size_t at = std::exchange(offset, offset + padded_bytes(shape, dtype));
    return Tensor::from_memory({block, block.get() + at}, shape, dtype, device);
  };
  Inputs inputs;
  inputs.shards.resize(shards);
  for (Batch& shard : inputs.shards)
    for (const auto& part : parts) shard.*part.tensor = next(part.shape, part.dtype);
  inputs.update = next({OptimizerStep::count}, Dtype::f64);
  inputs.number = next({}, Dtype::i32);
  return inputs;
}

TrainingStep::Slot::Slot(const Layout& layout, int64_t parameters, Device device)
    : staging(allocate_staging(device, layout.bytes)),
      uploaded(allocate(device, layout.bytes)),
      inputs(layout.over(staging, Device::cpu)),
      losses(Tensor::from_memory(allocate_staging(device, loss_count * sizeof(float)), {loss_count}, Dtype::f32)),
      squares(
          Tensor::from_memory(allocate_staging(device, 2 * parameters * sizeof(double)), {2, parameters}, Dtype::f64)),
      upload(device),
      done(device) {}

TrainingStep::Size::Size(const Config& config, int64_t count, int64_t parameters, Device device)
    : layout(config, count),
      slot{{{layout, parameters, device}, {layout, parameters, device}}},
      memory(allocate(device, layout.bytes)),
      inputs(layout.over(memory, device)),
      losses(Tensor::zeros({loss_count}, Dtype::f32, device)),
      squares(Tensor::zeros({2, parameters}, Dtype::f64, device)) {}

TrainingStep::TrainingStep(const Config& config, Biaxial& model, const LossFunction& loss, Optimizer& optimizer)
    : config_(config),
      model_(model),
      loss_(loss),
      optimizer_(optimizer),
      device_(model.device()),
      parameters_(static_cast<int64_t>(model.parameter_tensors().size())),
      halted_(Tensor::zeros({}, Dtype::f64, device_)),
      graphs_(device_ == Device::cuda) {
  if (graphs_) arena_.emplace(device_);
  for (int64_t shard = 0; !config.data.staggered && shard < config.train.shards; ++shard)
    carried_.push_back(model.zero_states(config.train.batch / config.train.shards));
}

TrainingStep::~TrainingStep() {
  try {
    synchronize(device_);
  } catch (const std::exception&) {  // the next CUDA call reports the error
  }
}

void TrainingStep::start(int64_t columns, uint32_t number, double learning_rate, const Fill& fill) {
  require(queued_.size() < slots, "training step: ", slots, " are in flight already");
  const auto [found, is_new] = sizes_.try_emplace(columns, config_, columns, parameters_, device_);
  Size& size = found->second;
  if (is_new) {
    optimizer_.prepare(model_);
    synchronize(device_);  // the new blocks may still be in use, and the upload would not wait
  }
  Slot& slot = size.slot[size.steps % slots];
  for (int64_t shard = 0; shard < config_.train.shards; ++shard)
    fill(slot.inputs.shards[shard], shard * (columns / config_.train.shards));
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
  zero_grad(model_);
  {
    const Arena::Scope scope(arena_ ? &*arena_ : nullptr);
    const auto states = forward_and_backward(size);
    Tensor squares = sums_of_squares(gradients_of(model_));
    if (config_.train.clip_norm > 0) clip(in.update, squares, config_.train.clip_norm);
    skip_update_if_not_finite(in.update, halted_, size.losses, squares);
    for (size_t shard = 0; shard < states.size(); ++shard)
      for (size_t layer = 0; layer < states[shard].size(); ++layer) {
        replace_unless(halted_, carried_[shard][layer].h, states[shard][layer].h);
        replace_unless(halted_, carried_[shard][layer].c, states[shard][layer].c);
      }
    size.squares.slice(0, 1).copy_from(squares.reshape({1, parameters_}));
  }
  optimizer_.update(model_, in.update);
  zero_grad(model_);
  const Arena::Scope scope(arena_ ? &*arena_ : nullptr);
  Tensors weights;
  model_.each_parameter([&](const std::string&, Var& weight) { weights.push_back(weight.value()); });
  size.squares.slice(1, 1).copy_from(sums_of_squares(weights).reshape({1, parameters_}));
}

std::vector<std::vector<LstmState>> TrainingStep::forward_and_backward(Size& size) {
  const Inputs& in = size.inputs;
  std::vector<std::vector<LstmState>> states = carried_;
  GradientTree gradients;
  for (size_t shard = 0; shard < in.shards.size(); ++shard) {
    ForwardContext context{.training = true,
                           .seed = config_.seed,
                           .stream = static_cast<uint32_t>(shard),
                           .step_at = reinterpret_cast<const uint32_t*>(in.number.data<int32_t>())};
    if (!states.empty()) context.states = &states[shard];
    const Losses losses = loss_(model_(in.shards[shard], context), in.shards[shard]);
    for (int64_t i = 0; i < loss_count; ++i) {
      if (!losses.values[i].defined()) continue;
      Tensor sum = size.losses.slice(i, 1);
      const Tensor own = losses.values[i].value().reshape({1});
      shard == 0 ? sum.copy_from(own) : add_into(sum, own);
    }
    backward(losses[Loss::total]);
    if (!states.empty())  // the states are parts of the layers' results, which are not kept
      for (LstmState& state : states[shard]) state = {state.h.clone(), state.c.clone()};
    if (in.shards.size() == 1) return states;
    gradients.add(gradients_of(model_));
    zero_grad(model_);
  }
  size_t next = 0;
  model_.each_parameter([&](const std::string&, Var& parameter) { parameter.gradient() = gradients.sum()[next++]; });
  return states;
}

TrainingStep::Result TrainingStep::finish() {
  require(!queued_.empty(), "training step: none is in flight");
  const auto [size, slot, before] = queued_.front();
  queued_.pop_front();
  before_finished_ = before;
  slot->done.wait();
  const float* row = slot->losses.data<float>();
  Result result;
  for (int64_t i = 0; i < loss_count; ++i)
    if (config_.model.channels > 1 || !loss_parts[i].whole_notes_only) result.losses.values[i] = row[i];
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

void TrainingStep::skip() {
  synchronize(device_);
  queued_.clear();
  static_cast<OptimizerCounters&>(optimizer_) = before_finished_;
  halted_.copy_from(Tensor::zeros({}, Dtype::f64));
}

std::vector<LstmState> TrainingStep::carried() const {
  std::vector<LstmState> all;
  for (size_t layer = 0; !carried_.empty() && layer < carried_[0].size(); ++layer) {
    Tensors h, c;
    for (const auto& shard : carried_) {
      h.push_back(shard[layer].h.to(Device::cpu));
      c.push_back(shard[layer].c.to(Device::cpu));
    }
    all.push_back({concat(h, 0), concat(c, 0)});
  }
  return all;
}

void TrainingStep::set_carried(const std::vector<LstmState>& states) {
  for (size_t shard = 0; shard < carried_.size(); ++shard)
    for (size_t layer = 0; layer < carried_[shard].size(); ++layer) {
      const auto set = [&](Tensor& to, const Tensor& from) {
        const int64_t rows = to.shape()[0];
        to.copy_from(from.to(to.dtype()).slice(static_cast<int64_t>(shard) * rows, rows).to(device_));
      };
      set(carried_[shard][layer].h, states.at(layer).h);
      set(carried_[shard][layer].c, states.at(layer).c);
    }
}

std::string TrainingStep::take_note() { return std::exchange(note_, {}); }

}  // namespace poph
