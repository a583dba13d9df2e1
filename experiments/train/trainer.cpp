#include "experiments/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/files/stopwatch.h"
#include "experiments/train/schedule.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/signals.h"
#include "nn/checkpoint.h"

namespace poph {
namespace {

constexpr double save_every_seconds = 300;

// Without gain for half of the patience, the plateau schedule halves the learning rate (MODEL.md "Optimisers").
// Patience without end has no half: that of 5 epochs is taken.
int64_t plateau_epochs(int64_t patience) { return std::max<int64_t>(1, (patience > 0 ? patience : 5) / 2); }

Biaxial& in_precision(Biaxial& model, Precision precision) {
  if (precision == Precision::bf16) model.activations = Dtype::bf16;
  return model;
}

std::unique_ptr<const Batches> batches_of(const Windows& train, const Config& config) {
  const BatchSettings settings{.window = config.data.window,
                               .columns = config.train.batch,
                               .shards = config.train.shards,
                               .seed = config.seed,
                               .transpose = config.data.transpose,
                               .span = config.loss.harmony.span,
                               .steps_per_quarter = config.data.steps_per_quarter};
  if (config.data.staggered) return std::make_unique<StaggeredBatches>(train, settings);
  return std::make_unique<LaneBatches>(train.pieces(), settings);
}

}  // namespace

Trainer::Trainer(const Config& config, Biaxial& model, const Windows& train, const Windows& valid, TrainLimits limits)
    : config_(config),
      model_(in_precision(model, config.train.precision)),
      valid_(valid),
      batches_(batches_of(train, config)),
      limits_(limits),
      loss_(config.loss, config.model, model.dtype(), model.device()),
      key_counts_(count_keys(train.pieces())),
      optimizer_(make_optimizer(config.train)),
      step_(config, model, loss_, optimizer_) {
  const int64_t count = limits.validation_windows ? std::min(limits.validation_windows, valid.count()) : valid.count();
  valid_which_.resize(count);
  std::iota(valid_which_.begin(), valid_which_.end(), 0);
}

int64_t Trainer::batches_per_epoch() const {
  return limits_.batches ? std::min(limits_.batches, batches_->count()) : batches_->count();
}

bool Trainer::complete() const {
  return state_.epoch >= config_.train.epochs ||
         (config_.train.patience > 0 && state_.epochs_without_gain >= config_.train.patience);
}

double Trainer::learning_rate(int64_t step) const {
  return scheduled_learning_rate(config_.train, step, config_.train.epochs * batches_per_epoch(),
                                 state_.learning_rate_factor);
}

// A second model on the means' own memory: so nothing is copied, and the weights that a training step reads stay where
// they are.
Biaxial& Trainer::judged_model() {
  if (optimizer_.average == 0) return model_;
  if (!averaged_) {
    optimizer_.prepare(model_);
    averaged_.emplace(model_.settings, Initializer{.dtype = model_.dtype(), .device = model_.device(), .blank = true});
    averaged_->activations = model_.activations;
    for (const auto& [name, tensor] : averaged_->parameter_tensors()) *tensor = optimizer_.averages.at(name);
  }
  return *averaged_;
}

// ---- steps ----

LossValues Trainer::train_step(int64_t batch, int64_t epoch) {
  start_step(batch, epoch);
  return finish_step().losses;
}

void Trainer::start_step(int64_t batch, int64_t epoch) {
  const int64_t step = state_.step + step_.in_flight();
  started_.push_back(batch);
  step_.start(batches_->columns(batch), static_cast<uint32_t>(step), learning_rate(step),
              [&](Batch& part, int64_t first_column) { batches_->fill(part, epoch, batch, first_column); });
}

TrainingStep::Result Trainer::finish_step() {
  const TrainingStep::Result result = step_.finish();
  const int64_t batch = started_.front();
  started_.pop_front();
  ++state_.step;
  const auto finite = [](double x) { return std::isfinite(x); };
  const bool applied = result.applied();
  if (!applied || !std::all_of(result.weight_squares.begin(), result.weight_squares.end(), finite))
    handle_not_finite(result, batch);
  if (applied) {
    history_.add(result);
    state_.skipped_in_a_row = 0;
  }
  return result;
}

// Logs the cause. Throws where the run ends here; else the training goes on without this step.
void Trainer::handle_not_finite(const TrainingStep::Result& result, int64_t batch) {
  ++state_.skipped;
  ++state_.skipped_in_a_row;
  NotFinite found;
  {
    const Tf32Products tf32(config_.train.precision == Precision::tf32);
    const int64_t shards = config_.train.shards, columns = batches_->columns(batch) / shards;
    for (int64_t shard = 0; shard < shards && !found.cause.in_output; ++shard) {
      Batch part = batch_layout(config_, columns).make();
      batches_->fill(part, state_.epoch, batch, shard * columns);
      std::vector<LstmState> states = step_.carried_by(shard);
      const ForwardContext context{.training = true,
                                   .seed = config_.seed,
                                   .step = static_cast<uint32_t>(state_.step - 1),
                                   .stream = static_cast<uint32_t>(shard),
                                   .states = states.empty() ? nullptr : &states};
      found.cause = find_cause(result, model_, part, context);
    }
  }
  found.weights_lost = result.applied();
  found.batch = batches_->places(state_.epoch, batch);
  found.judge(history_, state_.skipped_in_a_row, config_.train.skip_not_finite);
  if (folder_) folder_->append_metrics(std::vector<nlohmann::json>{not_finite_line(state_, found, history_)});
  const std::string text = not_finite_text(found, history_, state_.step, state_.epoch + 1, state_.skipped_in_a_row);
  if (!found.skip) throw NotFiniteError(found.diverged, text);
  if (progress_) progress_->line(text + "; skipped");
  step_.skip();
  started_.clear();
}

// ---- checkpoints ----

void Trainer::require_finite_weights() {
  const auto check = [&](Biaxial& model) {
    model.each_parameter([&](const std::string& parameter, Var& value) {
      if (count_nonfinite(value.value()) == 0) return;
      throw NotFiniteError(
          true, fmt::format("training diverged: the weight of {} is not finite after step {}", parameter, state_.step));
    });
  };
  check(model_);
  if (optimizer_.average > 0) check(judged_model());
}

// The logs of the steps before are on the disk first: a run that resumes from here does not do these steps again.
void Trainer::save(const RunFolder& folder, const std::string& name) {
  folder.require_there();
  if (events_) events_->write_durably();
  require_finite_weights();
  save_checkpoint(folder.checkpoint(name), weights_file(judged_model(), config_, key_counts_),
                  training_state_file(state_, model_, optimizer_, step_.carried()));
}

bool Trainer::resume(const RunFolder& folder, Progress& progress) {
  if (!has_checkpoint(folder.checkpoint("last"))) return false;
  const Checkpoint last = load_checkpoint(folder.checkpoint("last"));
  if (!last.note.empty()) progress.line(last.note);
  assign_weights(last.weights, folder.checkpoint("last") + ".safetensors", judged_model().parameter_tensors());
  std::vector<LstmState> carried = step_.carried();
  read_training_state(last.state, folder.checkpoint("last") + ".state.safetensors", batches_per_epoch(), model_, state_,
                      optimizer_, carried);
  if (state_.batch > 0) step_.set_carried(carried);
  // run.json lacks the time of a session that was killed; the lines of its epochs have it.
  const double logged = folder.cut_metrics_after(state_.step, state_.epoch);
  state_.seconds = std::max(logged, folder.record().training_seconds.value_or(0));
  return true;
}

// ---- epochs ----

// To the event file, under "GROUP/total" and so on.
void Trainer::log_losses(const std::string& group, const LossValues& losses) {
  if (!events_) return;
  const std::string prefix = group + (model_.autoregressive() ? "/" : " autoregressive = false/");
  std::vector<std::pair<std::string, double>> tagged;
  for (const LossPart& part : loss_parts)
    if (losses[part]) tagged.emplace_back(prefix + part.name, *losses[part]);
  events_->events.scalars(state_.step, tagged);
}

void Trainer::show_progress(Progress& progress, const LossValues& losses, double per_second) const {
  const int64_t all = batches_->total(), done = state_.train_windows;
  const double left = static_cast<double>((config_.train.epochs - state_.epoch) * all - done) / per_second;
  const std::string unit = batches_->unit();
  progress.live(fmt::format("epoch {}/{}  {} {}/{}  {}  {:.{}f} {}/s  {} left", state_.epoch + 1, config_.train.epochs,
                            unit.substr(0, unit.size() - 1), done, all, loss_text(losses), per_second,
                            per_second < 1000 ? 1 : 0, unit, human_time(left)),
                fmt::format("epoch {}/{}", state_.epoch + 1, config_.train.epochs));
}

void Trainer::count_step(const TrainingStep::Result& result) {
  const int64_t weight = batches_->weight(state_.batch++);
  if (!result.applied()) return;
  const double norm = result.gradient_norm();
  state_.train_sum.add(result.losses, static_cast<double>(weight));
  state_.train_windows += weight;
  ++state_.train_steps;
  state_.norm_sum += norm;
  state_.norm_max = std::max(state_.norm_max, norm);
  if (events_ && is_logged_step(state_.step)) {
    log_losses("step", result.losses);
    events_->events.scalars(state_.step, {{"step/gradient_norm", norm}});
  }
}

bool Trainer::train_epoch(const RunFolder& folder, Progress& progress) {
  Stopwatch since_step, since_save;
  double session_seconds = 0;
  int64_t session_weight = 0;
  const auto finish = [&] {
    const TrainingStep::Result result = finish_step();
    count_step(result);
    const double seconds = since_step.seconds();
    since_step.restart();
    state_.seconds += seconds;
    session_seconds += seconds;
    session_weight += batches_->weight(state_.batch - 1);
    if (!result.applied()) return;
    if (events_) events_->write_sometimes();
    show_progress(progress, result.losses, per_second(session_weight, session_seconds));
  };
  while (state_.batch + step_.in_flight() < batches_per_epoch()) {
    start_step(state_.batch + step_.in_flight(), state_.epoch);
    if (const std::string note = step_.take_note(); !note.empty()) progress.line(note);
    if (step_.in_flight() > 1) finish();  // the step before: the device has work while the host reads its losses
    // Not behind the last step: the epoch's end saves. A run that was killed there would log the epoch twice.
    const bool last = state_.batch + step_.in_flight() == batches_per_epoch();
    const bool stop = stop_requested(), save_now = stop || (!last && since_save.seconds() > save_every_seconds);
    while (save_now && step_.in_flight()) finish();
    if (save_now) {
      save(folder, "last");
      since_save.restart();
    }
    if (stop) return false;
  }
  while (step_.in_flight()) finish();
  return true;
}

// "; the first such output is that of blocks.1.layers.0, in window 7"
std::string Trainer::where_validation_fails() {
  for (int64_t window : valid_which_) {  // of lanes, too: what a window shows is enough to find the layer
    const Batch batch = valid_.batch({{window}}, config_.model.channels, Dtype::f32);
    const std::string layer = first_not_finite_layer(judged_model(), batch, ForwardContext{});
    if (!layer.empty()) return fmt::format("; the first such output is that of {}, in window {}", layer, window);
  }
  return "";
}

bool Trainer::validate(std::optional<LossValues>& losses) {
  if (valid_which_.empty()) return true;
  const Tf32Products tf32(config_.train.precision == Precision::tf32);
  const auto stop = [](int64_t) { return stop_requested(); };
  losses = config_.data.staggered
               ? window_loss(judged_model(), loss_, valid_, valid_which_, config_.train.batch, false, stop)
               : piece_loss(judged_model(), loss_, valid_.pieces(), config_.data.steps_per_quarter,
                            limits_.validation_steps, stop);
  if (!losses) return false;
  if (const std::string part = losses->not_finite(); !part.empty())
    throw NotFiniteError(
        true, fmt::format("training diverged: the {} loss of the validation after step {} is not a finite number{}; {}",
                          part, state_.step, where_validation_fails(), history_.text()));
  return true;
}

// An interrupted validation is done again by the next session.
bool Trainer::end_epoch(const RunFolder& folder, Progress& progress) {
  const Stopwatch watch;
  if (state_.train_windows == 0)
    throw NotFiniteError(true, fmt::format("training diverged: every step of epoch {} was skipped", state_.epoch + 1));
  std::optional<LossValues> valid;
  if (!validate(valid)) {
    save(folder, "last");
    return false;
  }
  const Epoch epoch = close_epoch(valid);
  state_.seconds += watch.seconds();
  log_epoch(epoch, folder);
  if (epoch.best) save(folder, "best");
  save(folder, "last");
  progress.line(epoch_text(epoch));
  return true;
}

// The epoch's means; the state then stands at the start of the next one.
Trainer::Epoch Trainer::close_epoch(const std::optional<LossValues>& valid) {
  Epoch epoch;
  epoch.train.add(state_.train_sum, 1.0 / static_cast<double>(state_.train_windows));
  epoch.valid = valid;
  epoch.numbers = {learning_rate(state_.step), state_.norm_sum / static_cast<double>(state_.train_steps),
                   state_.norm_max};
  ++state_.epoch;
  state_.batch = 0;
  state_.train_sum = {};
  state_.train_windows = state_.train_steps = 0;
  state_.norm_sum = state_.norm_max = 0;
  epoch.best = judge_epoch(config_.train.monitor_train || !valid ? epoch.train.total() : valid->total());
  return epoch;
}

bool Trainer::judge_epoch(double monitored) {
  if (state_.best_epoch < 0 || monitored < state_.best) {
    state_.best = monitored;
    state_.best_epoch = state_.epoch;
    state_.epochs_without_gain = 0;
    return true;
  }
  ++state_.epochs_without_gain;
  if (state_.epochs_without_gain % plateau_epochs(config_.train.patience) == 0) state_.learning_rate_factor /= 2;
  return false;
}

void Trainer::log_epoch(const Epoch& epoch, const RunFolder& folder) {
  std::vector<nlohmann::json> lines{train_line(state_, epoch.train, epoch.numbers)};
  log_losses("train", epoch.train);
  if (epoch.valid) {
    lines.push_back(valid_line(state_, *epoch.valid));
    log_losses("valid", *epoch.valid);
  }
  if (!model_.autoregressive())
    for (nlohmann::json& line : lines) line["autoregressive"] = false;
  folder.append_metrics(lines);
  if (events_)
    events_->events.scalars(state_.step, {{"train/learning_rate", epoch.numbers.learning_rate},
                                          {"train/gradient_norm", epoch.numbers.gradient_norm}});
}

std::string Trainer::epoch_text(const Epoch& epoch) const {
  std::string text = fmt::format("epoch {}: train {}", state_.epoch, loss_text(epoch.train));
  if (epoch.valid) text += "; validation " + loss_text(*epoch.valid);
  if (epoch.best) text += ", the best so far";
  return text + "; " + human_time(state_.seconds) + (model_.autoregressive() ? "" : " [autoregressive = false]");
}

TrainEnd Trainer::run(const RunFolder& folder, Progress& progress) {
  events_.reset();
  if (config_.train.tensorboard && !complete()) events_.emplace(folder.path(), state_.step);
  folder_ = &folder;
  progress_ = &progress;
  Tensors weights;
  for (const auto& [name, tensor] : model_.parameter_tensors()) weights.push_back(*tensor);
  const std::vector<double> squares = sums_of_squares(weights).values();
  history_.start(std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)));
  while (!complete()) {
    if (!train_epoch(folder, progress) || !end_epoch(folder, progress)) return TrainEnd::interrupted;
    if (stop_requested() && !complete()) return TrainEnd::interrupted;
  }
  if (state_.epoch < config_.train.epochs)
    progress.line(fmt::format("stopped early: no gain in {} epochs; the best was epoch {}", state_.epochs_without_gain,
                              state_.best_epoch));
  return TrainEnd::finished;
}

}  // namespace poph
