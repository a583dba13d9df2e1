#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "experiments/train/training_step.h"
#include "tests/support/models.h"

// Queued steps against the same steps one call at a time, on every device there is; on a GPU the former are replays of
// a graph.
namespace {

using namespace poph;
using namespace poph::test;

std::vector<Device> devices() {
  return cuda_available() ? std::vector{Device::cpu, Device::cuda} : std::vector{Device::cpu};
}

constexpr int64_t window = 6;

struct Case {
  std::string name;
  OptimizerKind optimizer = OptimizerKind::nadam;
  double clip_norm = 0;
  Precision precision = Precision::float32;
  double average = 0;
};
std::ostream& operator<<(std::ostream& out, const Case& of) { return out << of.name; }

const std::vector<Case> cases{
    {"nadam"},
    {"nadam, clipped", OptimizerKind::nadam, 0.05},
    {"nadam in bf16", OptimizerKind::nadam, 0, Precision::bf16},
    {"nadam in bf16, clipped", OptimizerKind::nadam, 0.05, Precision::bf16},
    {"adamw, clipped", OptimizerKind::adamw, 0.05},
    {"sgd, clipped", OptimizerKind::sgd, 0.05},
    {"sgd, averaged", OptimizerKind::sgd, 0, Precision::float32, 0.6},
    {"nadam in bf16, averaged", OptimizerKind::nadam, 0.05, Precision::bf16, 0.6},
};

Config config_of(const Case& of, const ModelSettings& model) {
  Config config;
  config.seed = 11;
  config.model = model;
  config.data.window = window;
  config.data.staggered = true;
  config.data.notes = model.notes;
  config.data.lowest_note = model.lowest_note;
  config.train.optimizer = of.optimizer;
  config.train.clip_norm = of.clip_norm;
  config.train.average = of.average;
  config.train.precision = of.precision;
  return config;
}

ModelSettings small_model() {
  return tiny_settings({attention_block(BlockKind::attention_notes), lstm_block(BlockKind::lstm_time),
                        lstm_block(BlockKind::lstm_notes)});
}

struct Training {
  Training(const Config& settings, Device device)
      : config(settings), model(config.model, config.seed, Dtype::f32, device) {
    if (config.train.precision == Precision::bf16) model.activations = Dtype::bf16;
  }
  const Config config;
  Biaxial model;
  LossFunction loss{config.loss, config.model, Dtype::f32, model.device()};
  Optimizer optimizer = make_optimizer(config.train);

  Batch music(int64_t windows, int64_t number) const {
    return random_music(config.model, window, windows, Dtype::f32, static_cast<uint32_t>(900 + 10 * number));
  }
  static double rate(int64_t number) { return 0.01 / static_cast<double>(number + 1); }
  TrainingStep::Fill fill(int64_t windows, int64_t number) const {
    return [this, windows, number](Batch& batch, int64_t) {
      const Batch from = music(windows, number);
      batch.input.copy_from(from.input);
      batch.target.copy_from(from.target);
      batch.beat.copy_from(from.beat);
    };
  }

  // A step as it is written down in a textbook, each number read back where it is needed.
  LossValues plain_step(int64_t windows, int64_t number) {
    const Device device = model.device();
    const Batch from = music(windows, number);
    ForwardContext context{.training = true, .seed = config.seed, .step = static_cast<uint32_t>(number)};
    const Losses losses = loss(model(from.to(device), context), from.to(device));
    const LossValues values = LossValues::of(losses);
    zero_grad(model);
    backward(losses[Loss::total]);
    optimizer.prepare(model);
    OptimizerStep step = optimizer.next_step(rate(number));
    if (config.train.clip_norm > 0)
      step.gradient_scale =
          std::min(1.0, config.train.clip_norm / std::sqrt(sum(sums_of_squares(gradients_of(model))).item()));
    optimizer.update(model, step.on(device));
    return values;
  }

  // Takes memory of other sizes and returns it, as a validation does.
  void validate() {
    const NoGrad no_grad;
    const Device device = model.device();
    const Batch from = music(5, 77);
    ForwardContext evaluation;
    loss(model(from.to(device), evaluation), from.to(device))[Loss::total].value().item();
  }

  TrainingStep queue() { return {config, model, loss, optimizer}; }
  void start(TrainingStep& step, int64_t windows, int64_t number) const {
    step.start(windows, number, rate(number), fill(windows, number));
  }
  LossValues take(TrainingStep& step, int64_t windows, int64_t number) const {
    start(step, windows, number);
    return step.finish().losses;
  }

  MemoryUse memory_after(TrainingStep& step, const std::vector<int64_t>& sizes) {
    for (int64_t windows : sizes) take(step, windows, optimizer.updates);
    return memory_use(model.device());
  }

  Tensors state() {
    Tensors all;
    for (const auto& [name, tensor] : model.parameter_tensors()) all.push_back(tensor->clone());
    for (const auto& [name, moment] : optimizer.moments) all.push_back(moment.clone());
    for (const auto& [name, moment] : optimizer.second_moments) all.push_back(moment.clone());
    for (const auto& [name, mean] : optimizer.averages) all.push_back(mean.clone());
    return all;
  }
};

void check_same(const LossValues& a, const LossValues& b) {
  for (const LossPart& part : loss_parts) BOOST_TEST((a[part] == b[part]), part.name);
}
void check_same(const MemoryUse& a, const MemoryUse& b) {
  BOOST_TEST(a.system_allocations == b.system_allocations);
  BOOST_TEST(a.in_use == b.in_use);
}
void check_same(const Tensors& a, const Tensors& b) {
  BOOST_TEST_REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) BOOST_TEST(same_bits(a[i], b[i]), "tensor " << i);
}

// Two epochs of full batches and a smaller last one.
const std::vector<int64_t> batches{3, 3, 3, 2, 3, 3, 3, 2, 3, 3, 2, 2};

#if POPH_EMULATED
constexpr bool emulated = true;
#else
constexpr bool emulated = false;
#endif

}  // namespace

BOOST_FIXTURE_TEST_SUITE(training_step, OneThread)

BOOST_DATA_TEST_CASE(queued_steps_are_plain_steps,
                     boost::unit_test::data::make(cases) * boost::unit_test::data::make(devices()), of, device) {
  const Config config = config_of(of, small_model());
  Training plain(config, device), queued(config, device);
  std::vector<LossValues> expected, found;
  for (size_t i = 0; i < batches.size(); ++i) expected.push_back(plain.plain_step(batches[i], i));
  {
    TrainingStep step = queued.queue();
    std::string notes;
    for (size_t i = 0; i < batches.size(); ++i) {
      queued.start(step, batches[i], i);
      notes += step.take_note();
      if (step.in_flight() == 2) found.push_back(step.finish().losses);
      if (i % 4 == 3) {
        while (step.in_flight()) found.push_back(step.finish().losses);
        queued.validate();
      }
    }
    BOOST_TEST(notes == (device == Device::cuda ? "steps replay one CUDA graph" : ""));
  }
  BOOST_TEST_REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) check_same(found[i], expected[i]);
  check_same(queued.state(), plain.state());
}

BOOST_DATA_TEST_CASE(a_play_only_model, boost::unit_test::data::make(devices()), device) {
  ModelSettings settings = small_model();
  settings.channels = 1;
  const Config config = config_of(cases[0], settings);
  Training plain(config, device), queued(config, device);
  TrainingStep step = queued.queue();
  for (int64_t i = 0; i < 4; ++i) {
    const LossValues losses = queued.take(step, 2, i);
    check_same(losses, plain.plain_step(2, i));
    BOOST_TEST(!losses[Loss::replay].has_value());
  }
}

// Weights and moments of an interrupted training are enough: the steps that another one takes from there are those that
// would have followed.
BOOST_DATA_TEST_CASE(goes_on_where_another_stopped, boost::unit_test::data::make(devices()), device) {
  const Config config = config_of(cases[1], small_model());
  Training whole(config, device), first(config, device), second(config, device);
  const auto steps = [](Training& of, int64_t begin, int64_t end) {
    TrainingStep step = of.queue();
    for (int64_t i = begin; i < end; ++i) of.take(step, batches[i], i);
  };
  steps(whole, 0, 8);
  steps(first, 0, 3);
  const auto from = first.model.parameter_tensors(), to = second.model.parameter_tensors();
  for (size_t i = 0; i < from.size(); ++i) to[i].second->copy_from(*from[i].second);
  second.optimizer = first.optimizer;
  for (auto* moments : {&second.optimizer.moments, &second.optimizer.second_moments})
    for (auto& [name, moment] : *moments) moment = moment.clone();
  steps(second, 3, 8);
  check_same(second.state(), whole.state());
}

// A batch with a NaN in it: the device changes nothing, neither in this step nor in the one after it, and once that one
// is done again all is as if the bad one had never been. (The dropout masks are those of its number, which only the
// caller counts.)
BOOST_DATA_TEST_CASE(a_step_that_is_not_finite_is_skipped,
                     boost::unit_test::data::make({0, 1, 2, 5, 7}) * boost::unit_test::data::make(devices()), of,
                     device) {
  const Config config = config_of(cases[of], small_model());
  Training plain(config, device), queued(config, device);
  TrainingStep step = queued.queue();
  constexpr int64_t bad = 3;
  const TrainingStep::Fill fill = queued.fill(2, bad);
  const TrainingStep::Fill ruined = [&fill](Batch& batch, int64_t first) {
    fill(batch, first);
    batch.target.slice(window - 1, 1)
        .copy_from(Tensor::full(batch.target.slice(0, 1).shape(), std::nan(""), Dtype::f32));
  };
  for (int64_t i = 0; i < bad; ++i) check_same(queued.take(step, 2, i), plain.plain_step(2, i));
  step.start(2, bad, Training::rate(bad), ruined);
  queued.start(step, 2, bad + 1);
  const TrainingStep::Result result = step.finish();
  BOOST_TEST(!result.applied());
  BOOST_TEST(result.losses.not_finite() == "play");
  step.skip();
  BOOST_TEST(step.in_flight() == 0);
  check_same(queued.state(), plain.state());
  for (int64_t i = bad + 1; i < bad + 4; ++i) check_same(queued.take(step, 2, i), plain.plain_step(2, i));
  check_same(queued.state(), plain.state());
  BOOST_TEST(queued.optimizer.updates == bad + 3);
}

BOOST_DATA_TEST_CASE(squares_of_gradients_and_weights,
                     boost::unit_test::data::make({0, 5}) * boost::unit_test::data::make(devices()), of, device) {
  const Config config = config_of(cases[of], small_model());
  Training plain(config, device), queued(config, device);
  TrainingStep step = queued.queue();
  queued.start(step, 3, 0);
  const TrainingStep::Result result = step.finish();
  const auto weights = queued.model.parameter_tensors();
  BOOST_TEST_REQUIRE(result.weight_squares.size() == weights.size());
  BOOST_TEST_REQUIRE(result.gradient_squares.size() == weights.size());
  for (size_t i = 0; i < weights.size(); ++i)
    BOOST_TEST(result.weight_squares[i] == sums_of_squares({*weights[i].second}).item(), weights[i].first);
  // SGD moves each weight by the rate times the clipped gradient: the norm shows in how far all went.
  if (cases[of].optimizer != OptimizerKind::sgd) return;
  double moved = 0;
  const auto before = plain.model.parameter_tensors();
  for (size_t i = 0; i < weights.size(); ++i)
    moved += sums_of_squares({sub(*weights[i].second, *before[i].second)}).item();
  BOOST_TEST(std::abs(std::sqrt(moved) / (Training::rate(0) * std::min(cases[of].clip_norm, result.gradient_norm())) -
                      1) < 1e-3);
}

// The first step takes all memory from the system that later ones need. A second batch size may take cached blocks that
// the first one used; after a step of each, nothing more is taken.
BOOST_DATA_TEST_CASE(nothing_is_allocated_after_the_first_step,
                     boost::unit_test::data::make(tiny_models()) * boost::unit_test::data::make({0, 3}), tiny, of) {
  for (Device device : devices()) {
    // A third of the emulated tests' time: there an optimiser for each kind of model must do.
    if (emulated && device == Device::cuda && (tiny.settings.blocks.size() % 2 == 0) != (of == 0)) continue;
    Training training(config_of(cases[of], tiny.settings), device);
    TrainingStep step = training.queue();
    release_cached(device);
    const MemoryUse first = training.memory_after(step, {3});
    check_same(training.memory_after(step, {3}), first);
    const MemoryUse both = training.memory_after(step, {2, 3});
    check_same(training.memory_after(step, {2, 3}), both);
  }
}

#if POPH_EMULATED
// The emulated device does nothing until the host waits for it, and counts that.
BOOST_AUTO_TEST_CASE(a_step_waits_for_nothing_and_its_losses_for_it_alone) {
  for (const Case& of : cases) {
    Training training(config_of(of, small_model()), Device::cuda);
    TrainingStep step = training.queue();
    for (int64_t i = 0; i < 4; ++i) training.take(step, 2 + i % 2, i);
    for (int64_t i = 4; i < 10; ++i) {
      const int64_t before = emulator::waits();
      training.start(step, 2 + i % 2, i);
      BOOST_TEST(emulator::waits() == before, of << ", step " << i);
      if (step.in_flight() < 2) continue;
      step.finish();
      BOOST_TEST(emulator::waits() == before + 1, of << ", step " << i);
    }
  }
}

// Tensor sizes that the first step did not have would take memory within the capture: steps then run without a graph,
// with the same numbers, and a line says so.
BOOST_AUTO_TEST_CASE(goes_on_without_a_graph_where_none_can_be_made) {
  const Config config = config_of(cases[1], small_model());
  Training plain(config, Device::cuda), queued(config, Device::cuda);
  TrainingStep step = queued.queue();
  for (int64_t i = 0; i < 5; ++i) {
    if (i == 1) {
      plain.model.activations = queued.model.activations = Dtype::bf16;
      release_cached(Device::cuda);
    }
    const LossValues losses = queued.take(step, 3, i);
    check_same(losses, plain.plain_step(3, i));
    const std::string note = step.take_note();
    BOOST_TEST(note.starts_with(i == 1 ? "steps run without a CUDA graph: " : ""), note);
    BOOST_TEST(note.empty() == (i != 1));
  }
  check_same(queued.state(), plain.state());
}
#endif

BOOST_AUTO_TEST_CASE(at_most_two_are_in_flight) {
  const Config config = config_of(cases[0], small_model());
  Training training(config, Device::cpu);
  TrainingStep step = training.queue();
  BOOST_TEST(message_of([&] { step.finish(); }) == "training step: none is in flight");
  for (int64_t i = 0; i < 2; ++i) training.start(step, 2, i);
  BOOST_TEST(step.in_flight() == 2);
  BOOST_TEST(message_of([&] { training.start(step, 2, 2); }) == "training step: 2 are in flight already");
  const auto first = step.finish();
  BOOST_TEST(first.losses.total() != step.finish().losses.total());
}

BOOST_AUTO_TEST_SUITE_END()
