#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "experiments/signals.h"
#include "experiments/trainer.h"
#include "nn/checkpoint.h"
#include "tensor/file.h"
#include "tests/folder.h"
#include "tests/models.h"

// Training runs of a tiny model on a tiny tune, in a temporary folder.
namespace {

using namespace poph;
using namespace poph::test;
using nlohmann::json;

// Two voices that go up and down a scale: something to learn.
Piece tune(int64_t steps, int64_t offset) {
  constexpr int scale[] = {0, 2, 4, 5, 7, 9, 11, 9, 7, 5, 4, 2};
  auto roll = std::make_shared<Roll>(60, 12);
  std::vector<Cell> cells(12);
  for (int64_t s = 0; s < steps; ++s) {
    std::fill(cells.begin(), cells.end(), 0);
    cells[scale[(s / 2 + offset) % 12]] = static_cast<Cell>(60 + offset);
    cells[scale[(s / 8 + offset) % 12]] = static_cast<Cell>(90 | (s % 4 == 2 ? replay_bit : 0));
    roll->append(cells);
  }
  return {"tun\xE9", roll};  // a name from a machine that knows no UTF-8
}

Config tiny_config(Precision precision = Precision::float32) {
  Config config;
  config.train.precision = precision;
  config.name = "tiny";
  config.seed = 7;
  config.data.lowest_note = 60;
  config.data.notes = 12;
  config.data.window = 16;
  config.data.stride = 8;
  config.data.transpose = 2;
  config.model = tiny_settings({attention_block(BlockKind::attention_notes), lstm_block(BlockKind::lstm_time, 2, 12),
                                lstm_block(BlockKind::lstm_notes, 1, 10)},
                               12);
  config.model.lowest_note = 60;
  config.model.octave_units = 6;
  config.train.batch = 4;
  config.train.epochs = 3;
  config.train.learning_rate = 0.01;
  return config;
}

const std::vector<int> in_bf16{false, true};

struct Session {
  explicit Session(const Config& settings) : config(settings), model(config.model, config.seed, Dtype::f32, Device::cpu) {}
  const Config config;
  Biaxial model;
  const Windows train{{tune(40, 0), tune(36, 3)}, 16, 8}, valid{{tune(24, 5)}, 16, 8};  // 10 windows: batches of 4, 4 and 2
  Trainer trainer{config, model, train, valid};

  TrainEnd run(const std::string& path, bool stopped = false) {
    const RunFolder folder(path);
    Progress quiet(true);
    watch_signals();
    if (stopped) std::raise(SIGUSR1);
    trainer.resume(folder, quiet);
    const TrainEnd end = trainer.run(folder, quiet);
    for (int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, SIG_DFL);
    watch_signals();  // forgets the request
    for (int signal : {SIGINT, SIGTERM, SIGUSR1}) std::signal(signal, SIG_DFL);
    return end;
  }
};

const std::vector<std::string> checkpoint_files{"checkpoints/best.safetensors", "checkpoints/best.state.safetensors",
                                                "checkpoints/last.safetensors", "checkpoints/last.state.safetensors"};

std::vector<json> metrics_of(const std::string& path, const std::string& split = "") {
  std::vector<json> lines;
  std::ifstream file(path + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    json parsed = json::parse(line);
    BOOST_TEST(parsed.contains("time_s"));
    parsed.erase("time_s");
    if (split.empty() || parsed["split"] == split) lines.push_back(parsed);
  }
  return lines;
}

void check_same_runs(const std::string& a, const std::string& b) {
  for (const std::string& name : checkpoint_files)
    BOOST_TEST((read_file(a + "/" + name) == read_file(b + "/" + name)), b << "/" << name);
  BOOST_TEST((metrics_of(a) == metrics_of(b)), b);
}

std::vector<int64_t> first_windows(int64_t count) {
  std::vector<int64_t> which(count);
  std::iota(which.begin(), which.end(), 0);
  return which;
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
  const std::vector<int64_t> batch = first_windows(3);
  const LossValues first = session.trainer.train_step(batch, 0);
  BOOST_TEST(std::abs(first.play - std::log(2)) < 0.1);
  LossValues least = first;  // not the last: training of so small a model leaps now and then
  for (int step = 0; step < 300; ++step) {
    const LossValues losses = session.trainer.train_step(batch, 0);
    if (losses.total < least.total) least = losses;
  }
  BOOST_TEST(least.play < 0.05);
  BOOST_TEST(least.replay.value() < 0.03);
  BOOST_TEST(least.volume.value() < 0.003);
  BOOST_TEST(session.trainer.state().step == 301);
}

BOOST_AUTO_TEST_CASE(the_first_losses_of_every_ordering_are_those_of_a_coin) {
  for (const TinyModel& tiny : tiny_models()) {
    ModelSettings settings = tiny.settings;
    settings.notes = 24;
    const Biaxial model(settings, 4, Dtype::f32, Device::cpu);
    const Music music = random_music(settings, 16, 2, Dtype::f32);
    Pass pass{.training = true};
    const Losses losses =
        LossFunction({}, settings, Dtype::f32, Device::cpu)(model(music.input, music.target, music.beat, pass), music.target);
    BOOST_TEST(std::abs(losses.play.value().item() - std::log(2)) < 0.25, tiny.name);
  }
}

BOOST_DATA_TEST_CASE(equal_runs_leave_equal_bytes_with_one_and_two_threads, boost::unit_test::data::make(in_bf16), bf16) {
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
  for (const auto& [kind, precision] : {std::pair{OptimizerKind::nadam, Precision::float32}, {OptimizerKind::sgd, Precision::float32},
                                        {OptimizerKind::nadam, Precision::bf16}}) {
    const Folder folder;
    Config config = tiny_config(precision);
    config.train.optimizer = kind;
    config.train.schedule = Schedule::plateau;
    config.train.patience = 4;
    Session(config).run(folder / "whole");
    struct Sitting {
      int64_t epochs, epoch, batch;  // stands there afterwards
    };
    for (const Sitting& at :
         std::vector<Sitting>{{3, 0, 1}, {3, 0, 2}, {3, 0, 3}, {3, 0, 3}}) {  // the last one in the validation
      Session session(config);
      BOOST_TEST((session.run(folder / "pieces", true) == TrainEnd::interrupted));
      BOOST_TEST(session.trainer.state().epoch == at.epoch);
      BOOST_TEST(session.trainer.state().batch == at.batch);
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

// One window makes attention overflow: its query is 3e38 times feature 13, how many notes of a class sound, which is 0 where all is silent.
// Its key is 0, so that the silent windows see none of it.
struct OneBadWindow {
  explicit OneBadWindow(bool skip) {
    config.train.skip_not_finite = skip;
    config.train.batch = 1;
    config.train.epochs = 2;
    config.data.transpose = 0;
    config.model.blocks[0].norm = Norm::none;
    auto silent = std::make_shared<Roll>(60, 12);
    for (int64_t step = 0; step < 64; ++step) silent->append(std::vector<Cell>(12, 0));
    train.emplace(std::vector<Piece>{{"silent", silent}, tune(17, 0)}, 16, 16);
    model.emplace(config.model, config.seed, Dtype::f32, Device::cpu);
    for (const auto& [name, tensor] : model->parameter_tensors()) {
      if (name == "blocks.0.key.weight") tensor->copy_from(Tensor::zeros(tensor->shape(), Dtype::f32));
      if (name != "blocks.0.query.weight") continue;
      std::vector<double> values = tensor->values();
      for (size_t i = 13; i < values.size(); i += tensor->shape()[1]) values[i] = 3e38;
      tensor->copy_from(Tensor::from(values, tensor->shape(), Dtype::f32));
    }
    trainer.emplace(config, *model, *train, valid);
  }
  Config config = tiny_config();
  std::optional<Windows> train;
  const Windows valid;
  std::optional<Biaxial> model;
  std::optional<Trainer> trainer;
};

BOOST_AUTO_TEST_CASE(a_bad_batch_is_named_and_passed_over) {
  Folder folder;
  OneBadWindow of(true);
  const int64_t bad = of.train->count() - 1;
  Progress quiet(true);
  const RunFolder run(folder / "run");
  quiet.log_to(run.file("log.txt"));
  BOOST_TEST((of.trainer->run(run, quiet) == TrainEnd::finished));
  BOOST_TEST(of.trainer->state().skipped == 2);
  BOOST_TEST(of.trainer->state().step == 2 * of.train->count());
  std::vector<json> events, epochs;
  for (const json& line : metrics_of(folder / "run")) (line.contains("event") ? events : epochs).push_back(line);
  BOOST_TEST_REQUIRE(events.size() == 2u);
  for (size_t epoch = 0; epoch < 2; ++epoch) {
    const json& event = events[epoch];
    BOOST_TEST(event["event"] == "not_finite");
    BOOST_TEST(event["epoch"] == static_cast<int64_t>(epoch) + 1);
    const std::vector<int64_t> order = epoch_order(of.train->count(), of.config.seed, static_cast<int64_t>(epoch));
    const auto place = std::find(order.begin(), order.end(), bad) - order.begin();
    BOOST_TEST(event["step"] == static_cast<int64_t>(epoch) * of.train->count() + place + 1);
    BOOST_TEST(event["layer"] == "blocks.0.output");
    BOOST_TEST(event["part"] == "");  // sigmoid and tanh hide it from the losses
    BOOST_TEST(event["judged"] == "bad batch");
    BOOST_TEST(event["action"] == "skip");
    if (epoch > 0)  // steps that were as ever came before
      for (const char* number : {"gradient_norm_before", "gradient_norm_median", "loss_before", "loss_median"})
        BOOST_TEST(event[number].get<double>() > 0, number);
    BOOST_TEST(event["windows"] == (json::array({{{"window", bad}, {"piece", "tun\xEF\xBF\xBD"}, {"first_step", 0}}})));
    BOOST_TEST(epochs[epoch]["skipped_steps"] == static_cast<int64_t>(epoch) + 1);
    BOOST_TEST(epochs[epoch]["gradient_norm_max"].get<double>() >= epochs[epoch]["gradient_norm"].get<double>());
    BOOST_TEST(epochs[epoch]["gradient_norm"].get<double>() > 0);
  }
  const std::string log = read_file(run.file("log.txt"));
  BOOST_TEST(log.find("a bad batch: the gradient of blocks.1.layers.0.weight_ih and of ") != std::string::npos, log);
  BOOST_TEST(log.find("; the first such output is that of blocks.0.output; before it the gradient norm was ") != std::string::npos, log);
  BOOST_TEST(log.find("of tun\xE9 from step 0; passed over\n") != std::string::npos, log);
  for (const auto& [name, tensor] : of.model->parameter_tensors()) BOOST_TEST((count_nonfinite(*tensor) == 0), name);
}

BOOST_AUTO_TEST_CASE(ten_bad_batches_in_a_row_end_the_run) {
  Folder folder;
  OneBadWindow of(true);
  of.train.emplace(std::vector<Piece>{tune(1000, 0)}, 16, 16);  // all are bad but at most the first
  of.trainer.emplace(of.config, *of.model, *of.train, of.valid);
  Progress quiet(true);
  const std::string message = message_of([&] { of.trainer->run(RunFolder(folder / "run"), quiet); });
  BOOST_TEST(message.starts_with("training diverged: "), message);
  BOOST_TEST(message.find("; 10 steps in a row") != std::string::npos, message);
  BOOST_TEST(of.trainer->state().skipped_in_a_row == 10);
  const std::vector<json> lines = metrics_of(folder / "run");
  BOOST_TEST_REQUIRE(lines.size() >= 10u);
  for (size_t i = 0; i < 10; ++i) {
    const json& line = lines[lines.size() - 10 + i];
    BOOST_TEST(line["skipped_in_a_row"] == i + 1);
    BOOST_TEST(line["judged"] == (i < 2 ? "bad batch" : "divergence"));
    BOOST_TEST(line["action"] == (i < 9 ? "skip" : "stop"));
  }
}

BOOST_AUTO_TEST_CASE(a_bad_batch_ends_the_run_where_that_is_wanted) {
  Folder folder;
  OneBadWindow of(false);
  Progress quiet(true);
  const std::string message = message_of([&] { of.trainer->run(RunFolder(folder / "run"), quiet); });
  BOOST_TEST(message.starts_with("a bad batch: the gradient of blocks.1.layers.0.weight_ih and of "), message);
  BOOST_TEST(message.ends_with("of tun\xE9 from step 0"), message);
  BOOST_TEST(metrics_of(folder / "run").back()["action"] == "stop");
}

// A bad batch in the first epoch, whose mark must outlive a stop and a second sitting.
BOOST_AUTO_TEST_CASE(a_run_that_passed_over_a_step_goes_on_as_if_never_stopped) {
  Folder folder;
  Progress quiet(true);
  OneBadWindow whole(true);
  whole.trainer->run(RunFolder(folder / "whole"), quiet);
  OneBadWindow first(true), second(true);
  first.config.train.epochs = 1;
  first.trainer->run(RunFolder(folder / "pieces"), quiet);
  {
    const RunFolder pieces(folder / "pieces");
    BOOST_TEST(second.trainer->resume(pieces, quiet));
    second.trainer->run(pieces, quiet);
  }
  for (const std::string& name : checkpoint_files)
    BOOST_TEST((read_file((folder / "whole") + "/" + name) == read_file((folder / "pieces") + "/" + name)), name);
  std::vector<json> lines[2];
  for (const auto& [which, name] : {std::pair{0, "whole"}, {1, "pieces"}})
    for (json line : metrics_of(folder / name)) {
      for (const char* sitting : {"time_s", "gradient_norm_before", "gradient_norm_median", "loss_before", "loss_median"}) line.erase(sitting);
      lines[which].push_back(line);
    }
  BOOST_TEST((lines[0] == lines[1]));
}

// By the layer where it comes up, not where it is noticed.
BOOST_AUTO_TEST_CASE(the_layer_at_fault_is_named) {
  const Config config = tiny_config();
  const Session session(config);
  const Batch batch = session.train.batch(first_windows(2), 3, Dtype::f32);
  for (const auto& [parameter, layer] : std::vector<std::pair<std::string, std::string>>{
           {"octave_conv.weight", "octave_conv"}, {"blocks.0.value.weight", "blocks.0.output"}, {"blocks.0.feed_forward.0.weight", "blocks.0.feed_forward"},
           {"blocks.1.layers.0.weight_ih", "blocks.1.layers.0"}, {"blocks.1.layers.1.weight_hh", "blocks.1.layers.1"},
           {"blocks.2.layers.0.bias", "blocks.2.layers.0"}, {"note_head.weight", "note_head"}, {"volume_head.bias", "volume_head"}, {"", ""}}) {
    Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
    for (const auto& [name, tensor] : model.parameter_tensors())
      if (name == parameter) tensor->copy_from(Tensor::full(tensor->shape(), std::nan(""), Dtype::f32));
    BOOST_TEST(first_not_finite_layer(model, batch, Pass{}) == layer, parameter);
  }
  // In the gradients alone: the last of them is where backward met it first.
  Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
  TrainingStep::Result result;
  result.gradient_squares.assign(model.parameter_tensors().size(), 1);
  result.weight_squares = result.gradient_squares;
  BOOST_TEST(fault_of(result, model, batch, Pass{}).what.empty());
  result.gradient_squares[0] = result.gradient_squares[2] = std::nan("");
  const Fault gradient = fault_of(result, model, batch, Pass{});
  BOOST_TEST(gradient.what == "the gradient of " + model.parameter_tensors()[2].first + " and of 1 other");
  BOOST_TEST(gradient.layer == model.parameter_tensors()[2].first.substr(0, model.parameter_tensors()[2].first.rfind('.')));
  BOOST_TEST(gradient.names.size() == 2u);
}

BOOST_AUTO_TEST_CASE(divergence_is_told_from_a_bad_batch) {
  const auto step = [](double norm, double loss, double weights) {
    TrainingStep::Result result;
    result.gradient_squares = {norm * norm};
    result.weight_squares = {weights * weights};
    result.losses.total = loss;
    return result;
  };
  StepHistory history;
  history.begin(20);
  BOOST_TEST(!history.grows());
  for (int i = 0; i < 150; ++i) history.add(step(1 + 0.5 * (i % 7), 0.3 + 0.01 * (i % 5), 20 + 0.1 * i));
  BOOST_TEST(!history.grows());
  BOOST_TEST(history.text() == "before it the gradient norm was 2 (median 2.5), the loss 0.34 (median 0.32), the weight norm 34.9 (20 at the start)");
  const auto grows_after = [&](double norm, double loss, double weights) {
    StepHistory other = history;
    other.add(step(norm, loss, weights));
    return other.grows();
  };
  BOOST_TEST(!grows_after(20, 0.3, 35));
  BOOST_TEST(grows_after(30, 0.3, 35));
  BOOST_TEST(!grows_after(2, 3, 35));
  BOOST_TEST(grows_after(2, 4, 35));
  BOOST_TEST(grows_after(2, 0.3, 201));
  history.begin(1e30);  // of a sitting that began after the ruin; what came before is forgotten
  BOOST_TEST(!history.grows());
}

BOOST_AUTO_TEST_CASE(weights_that_are_not_finite_end_the_run_and_keep_the_checkpoint) {
  const Folder folder;
  Config config = tiny_config();
  config.train.optimizer = OptimizerKind::sgd;
  config.train.epochs = 1;
  Session(config).run(folder / "run");
  std::vector<std::string> before;
  for (const std::string& name : checkpoint_files) before.push_back(read_file((folder / "run") + "/" + name));
  config.train.epochs = 3;
  config.train.learning_rate = 1e39;
  for (bool skip : {false, true}) {  // an update that has happened cannot be passed over
    config.train.skip_not_finite = skip;
    const std::string message = message_of([&] { Session(config).run(folder / "run"); });
    BOOST_TEST(message.starts_with("training diverged: the weight of "), message);
    BOOST_TEST(message.find(", as its update left it, of step 4 (epoch 2) is not a finite number") != std::string::npos, message);
  }
  for (size_t i = 0; i < before.size(); ++i)
    BOOST_TEST((read_file((folder / "run") + "/" + checkpoint_files[i]) == before[i]), checkpoint_files[i]);
  config.train.learning_rate = 0.01;
  BOOST_TEST((Session(config).run(folder / "run") == TrainEnd::finished));
}

BOOST_AUTO_TEST_CASE(a_state_is_not_believed) {
  const Folder folder;
  Config config = tiny_config();
  config.train.epochs = 1;
  Session(config).run(folder / "run");
  config.train.epochs = 2;
  const std::string path = (folder / "run") + "/checkpoints/last.state.safetensors";
  const TensorFile whole = read_safetensors(path);
  const auto message_with = [&](const char* key, const char* value) {
    TensorFile state = whole;
    state.metadata[key] = value;
    write_safetensors(path, state);
    return message_of([&] { Session(config).run(folder / "run"); });
  };
  const std::string begin = path + ": the training state has ";
  for (const char* batch : {"-1", "-1000000000000", "99999", "9999999999999999999999", "1x", "", " 1", "1.5"})
    BOOST_TEST(message_with("batch", batch).starts_with(begin + "batch = \"" + batch + "\", expected a whole number from 0 to "), batch);
  BOOST_TEST(message_with("epoch", "-2") == begin + "epoch = \"-2\", expected a whole number from 0");
  BOOST_TEST(message_with("best_epoch", "-2") == begin + "best_epoch = \"-2\", expected a whole number from -1");
  BOOST_TEST(message_with("best", "low") == begin + "best = \"low\", expected a number");
  for (const char* factor : {"nan", "inf", "-1", "2"})
    BOOST_TEST(message_with("learning_rate_factor", factor) == begin + "learning_rate_factor = \"" + factor + "\", expected a number from 0 to 1");
  TensorFile state = whole;
  const std::string name = "second_moment.note_head.weight";
  state.tensors.at(name) = Tensor::full(state.tensors.at(name).shape(), INFINITY, Dtype::f32);
  write_safetensors(path, state);
  BOOST_TEST(message_of([&] { Session(config).run(folder / "run"); }) == path + ": " + name + " holds values that are not finite numbers");
  write_safetensors(path, whole);
  BOOST_TEST((Session(config).run(folder / "run") == TrainEnd::finished));
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
    for (const json& line : metrics_of(folder / "run", "train")) rates.push_back(line["learning_rate"].get<double>() / 1e-30);
    const std::vector<double> expected =
        patience == 3 ? std::vector<double>{1, 1, 0.5, 0.25} : std::vector<double>{1, 1, 1, 0.5, 0.5};
    BOOST_TEST(rates == expected, boost::test_tools::per_element());
  }
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
    session.trainer.train_step(first_windows(4), 0);
    double length = 0;
    size_t next = 0;
    for (const auto& [name, tensor] : session.model.parameter_tensors()) length += sums_of_squares({sub(*tensor, before[next++])}).item();
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
    const auto least =
        std::min_element(lines.begin(), lines.end(), [](const json& a, const json& b) { return a["total"] < b["total"]; });
    BOOST_TEST(session.trainer.state().best_epoch == (*least)["epoch"].get<int64_t>());
    BOOST_TEST(session.trainer.state().best == (*least)["total"].get<double>());
    for (const char* field : {"step", "epoch", "play", "replay", "volume", "harmony", "total"})
      BOOST_TEST(lines[0].contains(field), field);
    if (monitor_train) continue;
    assign_weights(load_checkpoint((folder / "run") + "/checkpoints/best").weights, "best", session.model.parameter_tensors());
    const LossFunction loss(config.loss, config.model, Dtype::f32, Device::cpu);
    const LossValues again = *window_loss(session.model, loss, session.valid, first_windows(session.valid.count()), 4, false);
    BOOST_TEST(again.total == (*least)["total"].get<double>());
  }
}

BOOST_DATA_TEST_CASE(a_step_takes_no_memory_from_the_system_after_the_second, boost::unit_test::data::make(in_bf16), bf16) {
  Session session(tiny_config(bf16 ? Precision::bf16 : Precision::float32));
  for (int step = 0; step < 2; ++step) session.trainer.train_step(first_windows(4), 0);
  const MemoryUse before = memory_use(Device::cpu);
  for (int step = 0; step < 5; ++step) session.trainer.train_step(first_windows(4), 0);
  const MemoryUse after = memory_use(Device::cpu);
  BOOST_TEST(after.system_allocations == before.system_allocations);
  BOOST_TEST(after.in_use == before.in_use);
}

// A bf16 run's checkpoint is an ordinary one: float32, and read by a float32 run, to which it gives about the same losses.
BOOST_AUTO_TEST_CASE(memory_does_not_grow_over_500_steps) {
  const auto resident_pages = [] {
    std::ifstream file("/proc/self/statm");
    int64_t all = 0, resident = 0;
    file >> all >> resident;
    return resident;
  };
  Session session(tiny_config());
  for (int step = 0; step < 20; ++step) session.trainer.train_step(first_windows(4), 0);
  const MemoryUse before = memory_use(Device::cpu);
  [[maybe_unused]] const int64_t resident = resident_pages();
  for (int step = 0; step < 500; ++step) session.trainer.train_step(first_windows(4), 0);
  const MemoryUse after = memory_use(Device::cpu);
  BOOST_TEST(after.system_allocations == before.system_allocations);
  BOOST_TEST(after.reserved == before.reserved);
  BOOST_TEST(after.in_use == before.in_use);
#ifndef __SANITIZE_ADDRESS__  // which keeps what was freed for a while
  BOOST_TEST((resident_pages() - resident) * 4096 < 1 << 20);  // bytes
#endif
}

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
    return window_loss(by.model, loss, by.valid, first_windows(by.valid.count()), 4, false)->total;
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
      const std::vector<int64_t> order = epoch_order(session.train.count(), seed, epoch);
      for (size_t first = 0; first < order.size(); first += 4)
        session.trainer.train_step(std::span(order).subspan(first, std::min<size_t>(4, order.size() - first)), epoch);
      const LossValues losses = *window_loss(session.model, loss, session.valid, first_windows(session.valid.count()), 4, false);
      best.back() = std::min(best.back(), losses.total);
    }
  }
  return best;
}

BOOST_AUTO_TEST_CASE(bf16_reaches_the_validation_loss_of_float32) {
  const std::vector<double> wide = best_validation_losses(Precision::float32), narrow = best_validation_losses(Precision::bf16);
  const auto mean = [](const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size()); };
  const auto [least, most] = std::minmax_element(wide.begin(), wide.end());
  for (size_t i = 0; i < wide.size(); ++i) BOOST_TEST_MESSAGE("seed " << i + 1 << ": float32 " << wide[i] << ", bf16 " << narrow[i]);
  BOOST_TEST(*most < 0.3);  // the play loss alone begins at ln 2 = 0.69
  BOOST_TEST(std::abs(mean(narrow) - mean(wide)) < *most - *least);
}

BOOST_AUTO_TEST_SUITE_END()
