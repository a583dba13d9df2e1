#include "experiments/train/training_state.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <type_traits>

#include "data/files/text.h"

namespace poph {
namespace {

struct Range {
  double min = -std::numeric_limits<double>::infinity(), max = std::numeric_limits<double>::infinity();
};
constexpr Range count{.min = 0}, any{};

// Every number of the state under its name and with its range, for writing and reading alike. The seconds are not among
// them, or no two runs would leave equal files.
template <class State, class F>
void each_field(State& s, int64_t batches, F f) {
  f("epoch", s.epoch, count);
  f("batch", s.batch, Range{0, static_cast<double>(batches)});
  f("step", s.step, count);
  f("train_windows", s.train_windows, count);
  f("train_steps", s.train_steps, count);
  f("best", s.best, any);
  f("best_epoch", s.best_epoch, Range{.min = -1});
  f("epochs_without_gain", s.epochs_without_gain, count);
  f("learning_rate_factor", s.learning_rate_factor, Range{0, 1});
  f("skipped", s.skipped, count);
  f("skipped_in_a_row", s.skipped_in_a_row, count);
  f("norm_sum", s.norm_sum, any);
  f("norm_max", s.norm_max, any);
}

template <class Counters, class F>
void each_counter(Counters& optimizer, F f) {
  f("updates", optimizer.updates, count);
  f("momentum_product", optimizer.momentum_product, Range{0, 1});
}

std::string range_text(const Range& range) {
  if (range.min == any.min) return "";
  return fmt::format(" from {}{}", range.min, range.max == any.max ? "" : fmt::format(" to {}", range.max));
}

// The numbers of a file that anybody may have written.
struct Numbers {
  const TensorFile& file;
  const std::string& path;

  bool has(const char* name) const { return file.metadata.contains(name); }

  template <class T>
  void operator()(const char* name, T& value, const Range& range) const {
    require(has(name), path, ": the training state lacks \"", name, "\": saved by another version?");
    const std::string& text = file.metadata.at(name);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    const auto number = static_cast<double>(value);
    const bool inside = range.min == any.min || (number >= range.min && number <= range.max);
    require(whole && inside, path, ": the training state has ", name, " = \"", printable(text, 40), "\", expected ",
            std::is_integral_v<T> ? "a whole number" : "a number", range_text(range));
  }
};

void require_fit(const std::string& path, const std::string& name, const Tensor& tensor, const Var& parameter) {
  require(tensor.shape() == parameter.shape(), path, ": ", name, " is ", tensor.shape(), ", expected ",
          parameter.shape());
  require(count_nonfinite(tensor) == 0, path, ": ", name, " holds values that are not finite numbers");
}

void read_moments(const TensorFile& file, const std::string& path, Biaxial& model, Optimizer& optimizer) {
  model.each_parameter([&](const std::string& name, Var& parameter) {
    for (auto [prefix, moments] :
         {std::pair{"moment.", &optimizer.moments}, {"second_moment.", &optimizer.second_moments}}) {
      const auto found = file.tensors.find(prefix + name);
      if (found == file.tensors.end()) continue;
      require_fit(path, found->first, found->second, parameter);
      (*moments)[name] = found->second.to(model.device());
    }
  });
}

void read_carried(const TensorFile& file, const std::string& path, const std::string& name, Tensor& state) {
  const auto found = file.tensors.find(name);
  require(found != file.tensors.end(), path, ": the training state lacks ", name,
          ", which lanes need in the middle of an epoch");
  require(found->second.shape() == state.shape(), path, ": ", name, " is ", found->second.shape(), ", expected ",
          state.shape());
  require(count_nonfinite(found->second) == 0, path, ": ", name, " holds values that are not finite numbers");
  state = found->second.to(state.dtype());
}

constexpr const char* weight_prefix = "weight.";

void read_weights(const TensorFile& file, const std::string& path, Biaxial& model) {
  model.each_parameter([&](const std::string& name, Var& parameter) {
    const auto found = file.tensors.find(weight_prefix + name);
    require(found != file.tensors.end(), path, ": the training state lacks ", weight_prefix, name,
            ", which train.average needs");
    require_fit(path, found->first, found->second, parameter);
    parameter.value().copy_from(found->second.to(parameter.value().dtype()));
  });
}

}  // namespace

TensorFile training_state_file(const TrainingState& state, Biaxial& model, const Optimizer& optimizer,
                               const std::vector<LstmState>& carried) {
  TensorFile file;
  const auto write = [&](const char* name, auto value, const Range&) {
    file.metadata[name] = fmt::format("{}", value);
  };
  each_field(state, 0, write);
  for (const LossPart& part : loss_parts)  // absent at an epoch's start: 0 where every model has the part
    if (state.train_sum[part] || !part.whole_notes_only) write(part.name, state.train_sum[part].value_or(0), any);
  each_counter(optimizer, write);
  for (const auto& [parameter, moment] : optimizer.moments) file.tensors["moment." + parameter] = moment;
  for (const auto& [parameter, moment] : optimizer.second_moments) file.tensors["second_moment." + parameter] = moment;
  for (size_t layer = 0; state.batch > 0 && layer < carried.size(); ++layer) {
    file.tensors[fmt::format("carried.{}.h", layer)] = carried[layer].h.to(Dtype::f32);
    file.tensors[fmt::format("carried.{}.c", layer)] = carried[layer].c;
  }
  if (optimizer.average > 0)
    for (const auto& [parameter, weight] : model.parameter_tensors()) file.tensors[weight_prefix + parameter] = *weight;
  return file;
}

void read_training_state(const TensorFile& file, const std::string& path, int64_t batches, Biaxial& model,
                         TrainingState& state, Optimizer& optimizer, std::vector<LstmState>& carried) {
  const Numbers read{file, path};
  each_field(state, batches, read);
  for (const LossPart& part : loss_parts)
    if (read.has(part.name)) read(part.name, state.train_sum[part].emplace(), any);
  each_counter(optimizer, read);
  read_moments(file, path, model, optimizer);
  for (size_t layer = 0; state.batch > 0 && layer < carried.size(); ++layer)
    for (auto [name, tensor] : {std::pair{"h", &carried[layer].h}, {"c", &carried[layer].c}})
      read_carried(file, path, fmt::format("carried.{}.{}", layer, name), *tensor);
  if (optimizer.average > 0) read_weights(file, path, model);
}

}  // namespace poph
