#include "experiments/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numbers>
#include <numeric>

#include "experiments/model_file.h"
#include "experiments/signals.h"
#include "nn/checkpoint.h"
#include "tensor/printable.h"

namespace poph {
namespace {

constexpr double save_every_seconds = 300;
// Steps without a finite result: so many after each other are no longer one bad batch, and with so many nothing is learnt any more.
constexpr int64_t few_skipped_in_a_row = 3, most_skipped_in_a_row = 10;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Every number of the state under its name, for writing and reading alike; not the time, or no two runs would be equal.
template <class State, class F>
void each_field(State& s, F f) {
  f("epoch", s.epoch), f("batch", s.batch), f("step", s.step), f("train_windows", s.train_windows), f("best", s.best);
  f("best_epoch", s.best_epoch), f("epochs_without_gain", s.epochs_without_gain), f("learning_rate_factor", s.learning_rate_factor);
  f("play", s.train_sum.play), f("harmony", s.train_sum.harmony), f("total", s.train_sum.total);
  f("skipped", s.skipped), f("skipped_in_a_row", s.skipped_in_a_row), f("train_steps", s.train_steps);
  f("norm_sum", s.norm_sum), f("norm_max", s.norm_max);
}

// The numbers of a training state in a file, which anybody may have written.
struct StateNumbers {
  const TensorFile& file;
  std::string path;

  template <class T>
  void read(const char* name, T& value, T least = std::numeric_limits<T>::lowest(), T most = std::numeric_limits<T>::max()) const {
    const auto found = file.metadata.find(name);
    require(found != file.metadata.end(), path, ": the training state lacks \"", name, "\": saved by another version?");
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    const bool bounded = least > std::numeric_limits<T>::lowest();
    require(whole && (!bounded || (value >= least && value <= most)), path, ": the training state has ", name, " = \"", printable(text, 40),
            "\", expected ", std::is_integral_v<T> ? "a whole number" : "a number",
            bounded ? fmt::format(" from {}{}", least, most == std::numeric_limits<T>::max() ? "" : fmt::format(" to {}", most)) : "");
  }
};

nlohmann::json metrics_line(const TrainingState& state, const char* split, const LossValues& losses) {
  const auto number = [](double x) -> nlohmann::json {
    if (std::isfinite(x)) return x;
    return std::isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
  };
  nlohmann::json line{{"step", state.step}, {"epoch", state.epoch}, {"split", split}, {"time_s", std::round(state.seconds * 1000) / 1000},
                      {"play", number(losses.play)}, {"harmony", number(losses.harmony)}, {"total", number(losses.total)}};
  if (losses.replay) line["replay"] = number(*losses.replay);
  if (losses.volume) line["volume"] = number(*losses.volume);
  return line;
}

}  // namespace

std::string loss_text(const LossValues& losses) {
  std::string text = fmt::format("loss {:.4f} (play {:.4f}", losses.total, losses.play);
  if (losses.replay) text += fmt::format(", replay {:.4f}, volume {:.4f}", *losses.replay, losses.volume.value_or(0));
  return text + fmt::format(", harmony {:.4f})", losses.harmony);
}

Trainer::Trainer(const Config& config, Biaxial& model, const Windows& train, const Windows& valid, TrainLimits limits)
    : config_(config), model_(model), train_(train), valid_(valid), limits_(limits),
      loss_(config.loss, config.model, model.note_head.weight.value().dtype(), model.note_head.weight.value().device()),
      step_(config, model, loss_, optimizer_) {
  optimizer_.kind = config.train.optimizer;
  if (config.train.precision == Precision::bf16) model.activations = Dtype::bf16;
  const int64_t count = limits.validation_windows ? std::min(limits.validation_windows, valid.count()) : valid.count();
  valid_which_.resize(count);
  std::iota(valid_which_.begin(), valid_which_.end(), 0);
}

int64_t Trainer::batches_per_epoch() const {
  const int64_t all = (train_.count() + config_.train.batch - 1) / config_.train.batch;
  return limits_.batches ? std::min(limits_.batches, all) : all;
}

bool Trainer::complete() const {
  return state_.epoch >= config_.train.epochs || (config_.train.patience > 0 && state_.epochs_without_gain >= config_.train.patience);
}

double Trainer::learning_rate(int64_t step) const {
  const double base = config_.train.learning_rate;
  if (config_.train.schedule == Schedule::plateau) return base * state_.learning_rate_factor;
  if (config_.train.schedule == Schedule::constant) return base;
  const double done = static_cast<double>(step) / static_cast<double>(config_.train.epochs * batches_per_epoch());
  return base * 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, done)));
}

LossValues Trainer::train_step(std::span<const int64_t> which, int64_t epoch) {
  start_step(which, epoch);
  return finish_step().losses;
}

std::vector<int64_t> Trainer::shifts_of(std::span<const int64_t> which, int64_t epoch) const {
  std::vector<int64_t> shifts;
  for (int64_t window : which) shifts.push_back(epoch_shift(window, config_.data.transpose, config_.seed, epoch));
  return shifts;
}

void Trainer::start_step(std::span<const int64_t> which, int64_t epoch) {
  const std::vector<int64_t> shifts = shifts_of(which, epoch);
  const int64_t step = state_.step + step_.in_flight();
  started_.emplace_back(which.begin(), which.end());
  step_.start(static_cast<int64_t>(which.size()), static_cast<uint32_t>(step), learning_rate(step),
              [&](Batch& batch) { train_.fill(batch, which, shifts); });
}

TrainingStep::Result Trainer::finish_step() {
  const TrainingStep::Result result = step_.finish();
  const std::vector<int64_t> which = std::move(started_.front());
  started_.pop_front();
  ++state_.step;
  const auto finite = [](double x) { return std::isfinite(x); };
  const bool applied = result.applied();
  if (!applied || !std::all_of(result.weight_squares.begin(), result.weight_squares.end(), finite)) not_finite(result, which);
  if (applied) {
    history_.add(result);
    state_.skipped_in_a_row = 0;
  }
  return result;
}

// Says what happened and where, in the log and in metrics.jsonl. Ends the training, or has it go on without this step.
void Trainer::not_finite(const TrainingStep::Result& result, const std::vector<int64_t>& which) {
  const bool ruined = result.applied();  // by the update, which has happened
  ++state_.skipped;
  ++state_.skipped_in_a_row;
  Fault fault;
  {
    const Tf32Products tf32(config_.train.precision == Precision::tf32);
    const Batch batch = train_.batch(which, config_.model.channels, Dtype::f32, shifts_of(which, state_.epoch));
    fault = fault_of(result, model_, batch, Pass{.training = true, .seed = config_.seed, .step = static_cast<uint32_t>(state_.step - 1)});
  }
  const bool diverges = ruined || history_.grows() || state_.skipped_in_a_row >= few_skipped_in_a_row;
  const bool skip = config_.train.skip_not_finite && !ruined && state_.skipped_in_a_row < most_skipped_in_a_row;
  nlohmann::json windows = nlohmann::json::array();
  for (int64_t window : which) {
    const auto [piece, first] = train_.view(window);
    windows.push_back({{"window", window}, {"piece", train_.pieces()[piece].name}, {"first_step", first - train_.window()}});
  }
  const nlohmann::json event{{"event", "not_finite"}, {"step", state_.step}, {"epoch", state_.epoch + 1}, {"time_s", std::round(state_.seconds * 1000) / 1000},
                             {"part", fault.part}, {"layer", fault.layer}, {"parameters", fault.names}, {"judged", diverges ? "divergence" : "bad batch"},
                             {"action", skip ? "skip" : "stop"}, {"skipped_in_a_row", state_.skipped_in_a_row},
                             {"gradient_norm_before", history_.gradient_norm()}, {"gradient_norm_median", history_.usual_gradient_norm()},
                             {"loss_before", history_.loss()}, {"loss_median", history_.usual_loss()}, {"weight_norm", history_.weight_norm()},
                             {"windows", windows}};
  if (log_) log_->append_metrics(std::vector<nlohmann::json>{event});
  std::string text = fmt::format("{} of step {} (epoch {}) is not a finite number", fault.what, state_.step, state_.epoch + 1);
  if (fault.in_output) text += "; the first such output is that of " + fault.layer;
  else if (!ruined) text += "; all layers' outputs are";
  text += "; " + history_.text();
  if (state_.skipped_in_a_row > 1) text += fmt::format("; {} steps in a row", state_.skipped_in_a_row);
  const auto& first = windows.front();
  const std::string batch = fmt::format("; its batch: window {} of {} from step {}{}", first["window"].get<int64_t>(), first["piece"].get<std::string>(),
                                        first["first_step"].get<int64_t>(), which.size() > 1 ? fmt::format(" and {} more", which.size() - 1) : "");
  const std::string judged = (diverges ? "training diverged: " : "a bad batch: ") + text + (diverges ? "" : batch);
  if (!skip) throw NotFiniteError(judged);
  if (progress_) progress_->line(judged + "; passed over");
  step_.pass_over();
  started_.clear();
}

// What was logged of the steps before is on the disk first: a run that goes on from here does not do them again.
void Trainer::save(const RunFolder& folder, const std::string& name) {
  folder.require_there();
  if (events_) events_->write_durably();
  model_.each_parameter([&](const std::string& parameter, Var& value) {
    if (count_nonfinite(value.value()) == 0) return;
    throw NotFiniteError(fmt::format("training diverged: the weight of {} is not finite after step {}", parameter, state_.step));
  });
  TensorFile state;
  each_field(state_, [&](const char* field, auto value) { state.metadata[field] = fmt::format("{}", value); });
  if (state_.train_sum.replay) state.metadata["replay"] = fmt::format("{}", *state_.train_sum.replay);
  if (state_.train_sum.volume) state.metadata["volume"] = fmt::format("{}", *state_.train_sum.volume);
  state.metadata["updates"] = fmt::format("{}", optimizer_.updates);
  state.metadata["momentum_product"] = fmt::format("{}", optimizer_.momentum_product);
  for (const auto& [parameter, moment] : optimizer_.moments) state.tensors["moment." + parameter] = moment;
  for (const auto& [parameter, moment] : optimizer_.second_moments) state.tensors["second_moment." + parameter] = moment;
  save_checkpoint(folder.checkpoint(name), weights_file(model_, config_), state);
}

bool Trainer::resume(const RunFolder& folder, Progress& progress) {
  if (!has_checkpoint(folder.checkpoint("last"))) return false;
  const Checkpoint last = load_checkpoint(folder.checkpoint("last"));
  if (!last.note.empty()) progress.line(last.note);
  assign_weights(last.weights, folder.checkpoint("last") + ".safetensors", model_.parameter_tensors());
  const std::string state_path = folder.checkpoint("last") + ".state.safetensors";
  const StateNumbers numbers{last.state, state_path};
  each_field(state_, [&](const char* field, auto& value) {
    if constexpr (std::is_integral_v<std::decay_t<decltype(value)>>)
      numbers.read(field, value, &value == &state_.best_epoch ? int64_t{-1} : 0, &value == &state_.batch ? batches_per_epoch() : INT64_MAX);
    else if (&value == &state_.learning_rate_factor)
      numbers.read(field, value, 0.0, 1.0);
    else
      numbers.read(field, value);
  });
  for (auto [name, sum] : {std::pair{"replay", &state_.train_sum.replay}, {"volume", &state_.train_sum.volume}})
    if (last.state.metadata.contains(name)) numbers.read(name, sum->emplace());
  numbers.read("updates", optimizer_.updates, int64_t{0});
  numbers.read("momentum_product", optimizer_.momentum_product, 0.0, 1.0);
  const Device device = model_.note_head.weight.value().device();
  model_.each_parameter([&](const std::string& name, Var& parameter) {
    for (auto [prefix, moments] : {std::pair{"moment.", &optimizer_.moments}, {"second_moment.", &optimizer_.second_moments}}) {
      const auto found = last.state.tensors.find(prefix + name);
      if (found == last.state.tensors.end()) continue;
      require(found->second.shape() == parameter.shape(), state_path, ": ", found->first, " is ", found->second.shape(), ", expected ",
              parameter.shape());
      require(count_nonfinite(found->second) == 0, state_path, ": ", found->first, " holds values that are not finite numbers");
      (*moments)[name] = found->second.to(device);
    }
  });
  // A killed sitting has not written its time into run.json, but into the lines of its epochs.
  const double logged = folder.cut_metrics_after(state_.step, state_.epoch);
  state_.seconds = std::max(logged, folder.run().value("training_seconds", 0.0));
  return true;
}

// Losses under "GROUP/total" and so on, at the steps done so far.
void Trainer::note_event(const std::string& group, const LossValues& losses) {
  if (!events_) return;
  const std::string prefix = group + (model_.autoregressive() ? "/" : " autoregressive = false/");
  std::vector<std::pair<std::string, double>> tagged{
      {prefix + "total", losses.total}, {prefix + "play", losses.play}, {prefix + "harmony", losses.harmony}};
  if (losses.replay) tagged.emplace_back(prefix + "replay", *losses.replay);
  if (losses.volume) tagged.emplace_back(prefix + "volume", *losses.volume);
  events_->events.scalars(state_.step, tagged);
}

void Trainer::say_how_far(Progress& progress, const LossValues& losses, double windows_per_second) const {
  const int64_t windows = train_.count();
  const int64_t done = std::min(windows, state_.batch * config_.train.batch);
  const double left = static_cast<double>((config_.train.epochs - state_.epoch) * windows - done) / windows_per_second;
  progress.live(fmt::format("epoch {}/{}  window {}/{}  {}  {:.1f} windows/s  {} left", state_.epoch + 1, config_.train.epochs, done,
                            windows, loss_text(losses), windows_per_second, human_time(left)));
}

// False: interrupted.
bool Trainer::train_epoch(const RunFolder& folder, Progress& progress) {
  const std::vector<int64_t> order = epoch_order(train_.count(), config_.seed, state_.epoch);
  double last_time = now(), last_save = last_time, sitting = 0;
  int64_t sitting_windows = 0;
  const auto finish = [&] {
    const TrainingStep::Result result = finish_step();
    const int64_t count = result.windows;
    const LossValues& losses = result.losses;
    ++state_.batch;
    if (result.applied()) {
      state_.train_sum.add(losses, static_cast<double>(count));
      state_.train_windows += count;
      ++state_.train_steps;
      state_.norm_sum += result.gradient_norm();
      state_.norm_max = std::max(state_.norm_max, result.gradient_norm());
    }
    const double time = now();
    state_.seconds += time - last_time;
    sitting += time - last_time;
    sitting_windows += count;
    last_time = time;
    if (!result.applied()) return;
    if (is_noted_step(state_.step)) {
      note_event("step", losses);
      if (events_) events_->events.scalars(state_.step, {{"step/gradient_norm", result.gradient_norm()}});
    }
    if (events_) events_->write_sometimes();
    say_how_far(progress, losses, per_second(sitting_windows, sitting));
  };
  while (state_.batch + step_.in_flight() < batches_per_epoch()) {
    const int64_t first = (state_.batch + step_.in_flight()) * config_.train.batch;
    start_step(std::span(order).subspan(first, std::min(config_.train.batch, train_.count() - first)), state_.epoch);
    if (const std::string note = step_.take_note(); !note.empty()) progress.line(note);
    if (step_.in_flight() > 1) finish();  // the one before: the device has work while its losses are looked at
    const bool stop = stop_requested(), save_now = stop || now() - last_save > save_every_seconds;
    while (save_now && step_.in_flight()) finish();
    if (save_now) {
      save(folder, "last");
      last_save = now();
    }
    if (stop) return false;
  }
  while (step_.in_flight()) finish();
  return true;
}

// "; the first such output is that of blocks.1.layers.0, in window 7"
std::string Trainer::where_validation_fails() const {
  for (int64_t window : valid_which_) {
    const Batch batch = valid_.batch({{window}}, config_.model.channels, Dtype::f32);
    const std::string layer = first_not_finite_layer(model_, batch, Pass{});
    if (!layer.empty()) return fmt::format("; the first such output is that of {}, in window {}", layer, window);
  }
  return "";
}

// Validates, logs, and keeps what is best. False: interrupted; the validation will be done again.
bool Trainer::end_epoch(const RunFolder& folder, Progress& progress) {
  const double begun = now();
  if (state_.train_windows == 0) throw NotFiniteError(fmt::format("training diverged: every step of epoch {} was passed over", state_.epoch + 1));
  LossValues train;
  train.add(state_.train_sum, 1.0 / static_cast<double>(state_.train_windows));
  std::optional<LossValues> valid;
  if (!valid_which_.empty()) {
    const Tf32Products tf32(config_.train.precision == Precision::tf32);
    valid = window_loss(model_, loss_, valid_, valid_which_, config_.train.batch, false, stop_requested);
    if (!valid) {
      save(folder, "last");
      return false;
    }
    if (const std::string part = valid->not_finite(); !part.empty())
      throw NotFiniteError(fmt::format("training diverged: the {} loss of the validation after step {} is not a finite number{}; {}", part, state_.step,
                                       where_validation_fails(), history_.text()));
  }
  const double rate = learning_rate(state_.step);
  const double monitored = config_.train.monitor_train || !valid ? train.total : valid->total;
  const bool better = state_.best_epoch < 0 || monitored < state_.best;
  ++state_.epoch;
  state_.batch = 0;
  state_.train_sum = {};
  state_.train_windows = 0;
  const double norm_mean = state_.norm_sum / static_cast<double>(state_.train_steps), norm_max = state_.norm_max;
  state_.norm_sum = state_.norm_max = 0;
  state_.train_steps = 0;
  state_.seconds += now() - begun;
  if (better) {
    state_.best = monitored;
    state_.best_epoch = state_.epoch;
    state_.epochs_without_gain = 0;
  } else {
    ++state_.epochs_without_gain;
    // Half the rate each time half the patience passes without gain.
    if (state_.epochs_without_gain % std::max<int64_t>(1, config_.train.patience / 2) == 0) state_.learning_rate_factor /= 2;
  }
  std::vector<nlohmann::json> lines;
  for (const auto& [split, losses] : {std::pair{"train", std::optional(train)}, {"valid", valid}}) {
    if (!losses) continue;
    nlohmann::json line = metrics_line(state_, split, *losses);
    if (std::string_view(split) == "train") {
      line["learning_rate"] = rate;
      line["gradient_norm"] = norm_mean;
      line["gradient_norm_max"] = norm_max;
      line["skipped_steps"] = state_.skipped;  // so far, of the whole run
    }
    if (!model_.autoregressive()) line["autoregressive"] = false;
    lines.push_back(std::move(line));
    note_event(split, *losses);
  }
  folder.append_metrics(lines);
  if (events_) events_->events.scalars(state_.step, {{"train/learning_rate", rate}, {"train/gradient_norm", norm_mean}});
  if (better) save(folder, "best");
  save(folder, "last");
  progress.line(fmt::format("epoch {}: train {}", state_.epoch, loss_text(train)) +
                (valid ? fmt::format("; validation {}", loss_text(*valid)) : "") + (better ? ", the best so far" : "") +
                fmt::format("; {}", human_time(state_.seconds)) + (model_.autoregressive() ? "" : " [autoregressive = false]"));
  return true;
}

TrainEnd Trainer::run(const RunFolder& folder, Progress& progress) {
  events_.reset();
  if (config_.train.tensorboard && !complete()) events_.emplace(folder.path(), state_.step);
  log_ = &folder;
  progress_ = &progress;
  Tensors weights;
  for (const auto& [name, tensor] : model_.parameter_tensors()) weights.push_back(*tensor);
  const std::vector<double> squares = sums_of_squares(weights).values();
  history_.begin(std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)));
  while (!complete()) {
    if (!train_epoch(folder, progress) || !end_epoch(folder, progress)) return TrainEnd::interrupted;
    if (stop_requested() && !complete()) return TrainEnd::interrupted;
  }
  if (state_.epoch < config_.train.epochs)
    progress.line(fmt::format("stopped early: no gain in {} epochs; the best was epoch {}", state_.epochs_without_gain, state_.best_epoch));
  return TrainEnd::finished;
}

}  // namespace poph
