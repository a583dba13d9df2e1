#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "experiments/train/trainer.h"
#include "nn/checkpoint.h"
#include "tests/support/fewer.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_training.h"

// Training runs of a tiny model on a tiny tune, in a temporary folder.
namespace {

using namespace poph;
using namespace poph::test;
using nlohmann::json;

const std::vector<int> in_bf16{false, true};

void check_same_runs(const std::string& a, const std::string& b) {
  check_same_checkpoints(a, b);
  BOOST_TEST((metrics_of(a) == metrics_of(b)), b);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(training, OneThread)

BOOST_AUTO_TEST_CASE(overfits_one_batch_from_ln_2_a_note) {
  Config config = tiny_config();
  config.model.dropout = config.model.input_dropout = 0;
  config.model.blocks[0].dropout = 0;
  config.data.transpose = 0;
  config.train.learning_rate = 0.005;
  Session session(config);
  const LossValues first = session.trainer.train_step(0, 0);
  BOOST_TEST(std::abs(*first[Loss::play] - std::log(2)) < 0.1);
  LossValues lowest = first;  // not the last: training of so small a model leaps now and then
  for (int step = 0; step < 300; ++step) {
    const LossValues losses = session.trainer.train_step(0, 0);
    if (losses.total() < lowest.total()) lowest = losses;
  }
  BOOST_TEST(*lowest[Loss::play] < 0.05);
  BOOST_TEST(*lowest[Loss::replay] < 0.03);
  BOOST_TEST(*lowest[Loss::volume] < 0.003);
  BOOST_TEST(session.trainer.state().step == 301);
}

BOOST_AUTO_TEST_CASE(the_first_losses_of_every_ordering_are_those_of_a_coin) {
  for (const TinyModel& tiny : tiny_models()) {
    ModelSettings settings = tiny.settings;
    settings.notes = 24;
    const Biaxial model(settings, 4, Dtype::f32, Device::cpu);
    const Batch music = random_music(settings, 16, 2, Dtype::f32);
    ForwardContext context{.training = true};
    const Losses losses = LossFunction({}, settings, Dtype::f32, Device::cpu)(model(music, context), music);
    BOOST_TEST(std::abs(losses[Loss::play].value().item() - std::log(2)) < 0.25, tiny.name);
  }
}

BOOST_DATA_TEST_CASE(equal_runs_leave_equal_bytes_with_one_and_two_threads, boost::unit_test::data::make(in_bf16),
                     bf16) {
  const Folder folder;
  const Config config = tiny_config(bf16 ? Precision::bf16 : Precision::float32);
  for (int count : {1, 2, 1}) {
    const Threads threads(count);
    const std::string path = folder / joined("run", count);
    if (std::filesystem::exists(path)) std::filesystem::rename(path, folder / "first");
    BOOST_TEST((Session(config).run(path) == TrainEnd::finished));
  }
  check_same_runs(folder / "first", folder / "run1");
  check_same_runs(folder / "first", folder / "run2");
  Config other = config;
  other.seed = 8;
  Session(other).run(folder / "other");
  BOOST_TEST((metrics_of(folder / "other") != metrics_of(folder / "first")));
}

// Stopped after each batch, within the validation and between two epochs, it comes to the same as a run in one go.
BOOST_AUTO_TEST_CASE(an_interrupted_run_goes_on_bit_for_bit) {
  struct Case {
    OptimizerKind kind;
    Precision precision;
    double average = 0;
  };
  for (const Case& of : {Case{OptimizerKind::nadam, Precision::float32},
                         {OptimizerKind::sgd, Precision::float32, 0.9},
                         {OptimizerKind::nadam, Precision::bf16, 0.5}}) {
    const Folder folder;
    Config config = tiny_config(of.precision);
    config.train.optimizer = of.kind;
    config.train.average = of.average;
    config.train.warmup_steps = 4;
    config.train.schedule = Schedule::plateau;
    config.train.patience = 4;
    Session(config).run(folder / "whole");
    for (const int64_t batch : {1, 2, 3, 3}) {  // the last session is interrupted in the validation
      Session session(config);
      BOOST_TEST((session.run(folder / "pieces", true) == TrainEnd::interrupted));
      BOOST_TEST(session.trainer.state().epoch == 0);
      BOOST_TEST(session.trainer.state().batch == batch);
    }
    // A line of the epoch to be ended again, as a run leaves it that was killed between that line and its checkpoint.
    std::ofstream((folder / "pieces") + "/metrics.jsonl", std::ios::app) << R"({"step":3,"epoch":1,"time_s":1})"
                                                                         << "\n";
    Config shorter = config;
    shorter.train.epochs = 1;
    BOOST_TEST((Session(shorter).run(folder / "pieces") == TrainEnd::finished));
    BOOST_TEST(metrics_of(folder / "pieces").size() == 2u);
    BOOST_TEST((Session(config).run(folder / "pieces", true) == TrainEnd::interrupted));
    // A line of a later step, as a killed run leaves it, and a torn one: both go.
    std::ofstream((folder / "pieces") + "/metrics.jsonl", std::ios::app) << R"({"step":900,"time_s":1})"
                                                                         << "\n{\"st";
    BOOST_TEST((Session(config).run(folder / "pieces") == TrainEnd::finished));
    check_same_runs(folder / "whole", folder / "pieces");
    BOOST_TEST(metrics_of(folder / "pieces").size() == 6u);
    BOOST_TEST((Session(config).run(folder / "pieces") == TrainEnd::finished), "a finished run has nothing to do");
  }
}

BOOST_AUTO_TEST_CASE(patience_and_the_plateau_schedule) {
  for (int64_t patience : {3, 4}) {
    const Folder folder;
    Config config = tiny_config();
    config.train.optimizer = OptimizerKind::sgd;
    config.train.learning_rate = 1e-30;  // nothing is learnt
    config.train.schedule = Schedule::plateau;
    config.train.patience = patience;
    config.train.epochs = 20;
    Session session(config);
    BOOST_TEST((session.run(folder / "run") == TrainEnd::finished));
    BOOST_TEST(session.trainer.state().epoch == patience + 1);
    BOOST_TEST(session.trainer.state().best_epoch == 1);
    BOOST_TEST(session.trainer.complete());
    std::vector<double> rates;
    for (const json& line : metrics_of(folder / "run", "train"))
      rates.push_back(line["learning_rate"].get<double>() / 1e-30);
    const std::vector<double> expected =
        patience == 3 ? std::vector<double>{1, 1, 0.5, 0.25} : std::vector<double>{1, 1, 1, 0.5, 0.5};
    BOOST_TEST(rates == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(patience_without_end) {
  const Folder folder;
  Config config = tiny_config();
  config.train.optimizer = OptimizerKind::sgd;
  config.train.learning_rate = 1e-30;  // nothing is learnt
  config.train.schedule = Schedule::plateau;
  config.train.patience = 0;
  config.train.epochs = 9;
  Session session(config);
  BOOST_TEST((session.run(folder / "run") == TrainEnd::finished));
  BOOST_TEST(session.trainer.state().epoch == 9);
  BOOST_TEST(session.trainer.state().learning_rate_factor == 1.0 / 16);  // as with the default's half, 2 epochs
}

// A clipped step of SGD is as long as the learning rate says.
BOOST_AUTO_TEST_CASE(the_cosine_schedule_and_clipping) {
  Config config = tiny_config();
  config.train.optimizer = OptimizerKind::sgd;
  config.train.schedule = Schedule::cosine;
  config.train.epochs = 2;
  config.train.learning_rate = 1;
  config.train.clip_norm = 0.01;
  Session session(config);
  BOOST_TEST(session.trainer.batches_per_epoch() == 3);
  for (int step = 0; step < 6; ++step) {
    const Tensors before = [&] {
      Tensors values;
      for (const auto& [name, tensor] : session.model.parameter_tensors()) values.push_back(tensor->clone());
      return values;
    }();
    session.trainer.train_step(0, 0);
    double length = 0;
    size_t next = 0;
    for (const auto& [name, tensor] : session.model.parameter_tensors())
      length += sums_of_squares({sub(*tensor, before[next++])}).item();
    const double rate = 0.5 * (1 + std::cos(M_PI * step / 6));
    BOOST_TEST(std::abs(std::sqrt(length) / (0.01 * rate) - 1) < 1e-3, "step " << step);
  }
}

BOOST_AUTO_TEST_CASE(best_has_the_smallest_monitored_loss) {
  for (bool monitor_train : {false, true}) {
    const Folder folder;
    Config config = tiny_config();
    config.train.learning_rate = 0.08;  // rough, so that the loss goes up and down
    config.train.epochs = 10;
    config.train.patience = 100;
    config.train.monitor_train = monitor_train;
    Session session(config);
    session.run(folder / "run");
    const auto lines = metrics_of(folder / "run", monitor_train ? "train" : "valid");
    BOOST_TEST(lines.size() == 10u);
    const auto lowest = std::min_element(lines.begin(), lines.end(),
                                         [](const json& a, const json& b) { return a["total"] < b["total"]; });
    BOOST_TEST(session.trainer.state().best_epoch == (*lowest)["epoch"].get<int64_t>());
    BOOST_TEST(session.trainer.state().best == (*lowest)["total"].get<double>());
    for (const char* field : {"step", "epoch", "play", "replay", "volume", "harmony", "total"})
      BOOST_TEST(lines[0].contains(field), field);
    if (monitor_train) continue;
    assign_weights(load_checkpoint((folder / "run") + "/checkpoints/best").weights, "best",
                   session.model.parameter_tensors());
    const LossFunction loss(config.loss, config.model, Dtype::f32, Device::cpu);
    const LossValues again =
        *window_loss(session.model, loss, session.valid, first_windows(session.valid.count()), 4, false);
    BOOST_TEST(again.total() == (*lowest)["total"].get<double>());
  }
}

BOOST_DATA_TEST_CASE(a_step_takes_no_memory_from_the_system_after_the_second, boost::unit_test::data::make(in_bf16),
                     bf16) {
  Session session(tiny_config(bf16 ? Precision::bf16 : Precision::float32));
  for (int step = 0; step < 2; ++step) session.trainer.train_step(0, 0);
  const MemoryUse before = memory_use(Device::cpu);
  for (int step = 0; step < 5; ++step) session.trainer.train_step(0, 0);
  const MemoryUse after = memory_use(Device::cpu);
  BOOST_TEST(after.system_allocations == before.system_allocations);
  BOOST_TEST(after.in_use == before.in_use);
}

BOOST_AUTO_TEST_CASE(memory_does_not_grow_over_500_steps) {
  const auto resident_pages = [] {
    std::ifstream file("/proc/self/statm");
    int64_t all = 0, resident = 0;
    file >> all >> resident;
    return resident;
  };
  Session session(tiny_config());
  for (int step = 0; step < 20; ++step) session.trainer.train_step(0, 0);
  const MemoryUse before = memory_use(Device::cpu);
  [[maybe_unused]] const int64_t resident = resident_pages();
  for (int64_t step = 0; step < fewer(500); ++step) session.trainer.train_step(0, 0);
  const MemoryUse after = memory_use(Device::cpu);
  BOOST_TEST(after.system_allocations == before.system_allocations);
  BOOST_TEST(after.reserved == before.reserved);
  BOOST_TEST(after.in_use == before.in_use);
#if !POPH_ASAN                                                 // which holds freed memory for a while
  BOOST_TEST((resident_pages() - resident) * 4096 < 1 << 20);  // bytes
#endif
}

// A float32 run reads it, too, and has about the same losses with it.
BOOST_AUTO_TEST_CASE(the_checkpoint_of_a_bf16_run_is_float32) {
  const Folder folder;
  Session session(tiny_config(Precision::bf16)), wide(tiny_config());
  session.run(folder / "run");
  const Checkpoint best = load_checkpoint((folder / "run") + "/checkpoints/best");
  for (const TensorFile* file : {&best.weights, &best.state})
    for (const auto& [name, tensor] : file->tensors) {
      BOOST_TEST((tensor.dtype() == Dtype::f32), name);
      BOOST_TEST(!same_bits(tensor.to(Dtype::bf16).to(Dtype::f32), tensor), name << " has no more than bf16's bits");
    }
  const LossFunction loss(wide.config.loss, wide.config.model, Dtype::f32, Device::cpu);
  const auto total = [&](Session& by) {
    assign_weights(best.weights, "best", by.model.parameter_tensors());
    return window_loss(by.model, loss, by.valid, first_windows(by.valid.count()), 4, false)->total();
  };
  BOOST_TEST(total(session) == session.trainer.state().best);  // validated in the precision it trains in
  BOOST_TEST(total(wide) != total(session));
  BOOST_TEST(std::abs(total(wide) / total(session) - 1) < 5e-3);
}

// The GPU's switch changes nothing here.
BOOST_AUTO_TEST_CASE(tf32_on_a_cpu_is_float32) {
  const Folder folder;
  Config config = tiny_config();
  Session(config).run(folder / "float32");
  config.train.precision = Precision::tf32;
  Session(config).run(folder / "tf32");
  BOOST_TEST((metrics_of(folder / "tf32") == metrics_of(folder / "float32")));
  BOOST_TEST(!Tf32Products::allowed());
}

// The validation losses that 300 steps come to, by seed.
std::vector<double> best_validation_losses(Precision precision) {
  std::vector<double> best;
  for (uint64_t seed : {1, 2, 3}) {
    Config config = tiny_config(precision);
    config.seed = seed;
    config.train.learning_rate = 0.005;
    Session session(config);
    const LossFunction loss(config.loss, config.model, Dtype::f32, Device::cpu);
    best.push_back(1e9);
    for (int64_t epoch = 0; epoch < 100; ++epoch) {
      for (int64_t batch = 0; batch < session.trainer.batches_per_epoch(); ++batch)
        session.trainer.train_step(batch, epoch);
      const LossValues losses =
          *window_loss(session.model, loss, session.valid, first_windows(session.valid.count()), 4, false);
      best.back() = std::min(best.back(), losses.total());
    }
  }
  return best;
}

BOOST_AUTO_TEST_CASE(bf16_reaches_the_validation_loss_of_float32, *boost::unit_test::enable_if<!POPH_ASAN>()) {
  const std::vector<double> wide = best_validation_losses(Precision::float32),
                            narrow = best_validation_losses(Precision::bf16);
  const auto mean = [](const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  };
  const auto [lowest, highest] = std::minmax_element(wide.begin(), wide.end());
  for (size_t i = 0; i < wide.size(); ++i)
    BOOST_TEST_MESSAGE("seed " << i + 1 << ": float32 " << wide[i] << ", bf16 " << narrow[i]);
  BOOST_TEST(*highest < 0.3);  // the play loss alone begins at ln 2 = 0.69
  BOOST_TEST(std::abs(mean(narrow) - mean(wide)) < *highest - *lowest);
}

BOOST_AUTO_TEST_SUITE_END()
