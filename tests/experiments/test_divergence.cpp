#include <boost/test/unit_test.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/files/file.h"
#include "experiments/train/divergence.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_training.h"

// Losses, gradients and weights that are not finite: the cause that is named, and whether the run goes on.
namespace {

using namespace poph;
using namespace poph::test;
using nlohmann::json;

// One window makes attention overflow: the query is 3e38 times feature 13, the number of sounding notes of a pitch
// class, which is 0 in silence. The key is 0, so that the silent windows stay finite.
struct OneBadWindow {
  explicit OneBadWindow(bool skip) {
    config.train.skip_not_finite = skip;
    config.train.batch = 1;
    config.train.epochs = 2;
    config.data.transpose = 0;
    config.model.blocks[0].norm = Norm::none;
    auto silent = std::make_shared<Roll>(60, 12);
    for (int64_t step = 0; step < 64; ++step) silent->append(std::vector<Cell>(12, 0));
    train.emplace(std::vector<Piece>{{"silent", silent}, tune(17, 0)}, 16, 16, 4);
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

template <class F>
NotFiniteError error_of(F work) {
  try {
    work();
  } catch (const NotFiniteError& error) {
    return error;
  }
  throw Error("expected a NotFiniteError, nothing was thrown");
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(divergence, OneThread)

BOOST_AUTO_TEST_CASE(a_bad_batch_is_named_and_skipped) {
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
  BOOST_TEST(log.find("; the first such output is that of blocks.0.output; before it the gradient norm was ") !=
                 std::string::npos,
             log);
  BOOST_TEST(log.find("of tun\xE9 from step 0; skipped\n") != std::string::npos, log);
  for (const auto& [name, tensor] : of.model->parameter_tensors()) BOOST_TEST((count_nonfinite(*tensor) == 0), name);
}

BOOST_AUTO_TEST_CASE(ten_bad_batches_in_a_row_end_the_run) {
  Folder folder;
  OneBadWindow of(true);
  of.train.emplace(std::vector<Piece>{tune(1000, 0)}, 16, 16, 4);  // all are bad but at most the first
  of.trainer.emplace(of.config, *of.model, *of.train, of.valid);
  Progress quiet(true);
  const NotFiniteError error = error_of([&] { of.trainer->run(RunFolder(folder / "run"), quiet); });
  const std::string message = error.what();
  BOOST_TEST(error.diverged);
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

BOOST_AUTO_TEST_CASE(a_bad_batch_ends_the_run_unless_it_may_be_skipped) {
  Folder folder;
  OneBadWindow of(false);
  Progress quiet(true);
  const NotFiniteError error = error_of([&] { of.trainer->run(RunFolder(folder / "run"), quiet); });
  const std::string message = error.what();
  BOOST_TEST(!error.diverged);
  BOOST_TEST(message.starts_with("a bad batch: the gradient of blocks.1.layers.0.weight_ih and of "), message);
  BOOST_TEST(message.ends_with("of tun\xE9 from step 0"), message);
  BOOST_TEST(metrics_of(folder / "run").back()["action"] == "stop");
}

// A bad batch in the first epoch: its count must outlive a stop.
BOOST_AUTO_TEST_CASE(a_run_that_skipped_a_step_goes_on_as_if_never_stopped) {
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
  check_same_checkpoints(folder / "whole", folder / "pieces");
  std::vector<json> lines[2];
  for (const auto& [which, name] : {std::pair{0, "whole"}, {1, "pieces"}})
    for (json line : metrics_of(folder / name)) {
      for (const char* of_session :
           {"time_s", "gradient_norm_before", "gradient_norm_median", "loss_before", "loss_median"})
        line.erase(of_session);
      lines[which].push_back(line);
    }
  BOOST_TEST((lines[0] == lines[1]));
}

// By the layer where it comes up, not where it is noticed.
BOOST_AUTO_TEST_CASE(the_layer_at_fault_is_named) {
  const Config config = tiny_config();
  const Session session(config);
  const Batch batch = session.train.batch(first_windows(2), 3, Dtype::f32);
  for (const auto& [parameter, layer] :
       std::vector<std::pair<std::string, std::string>>{{"octave_conv.weight", "octave_conv"},
                                                        {"blocks.0.value.weight", "blocks.0.output"},
                                                        {"blocks.0.feed_forward.0.weight", "blocks.0.feed_forward"},
                                                        {"blocks.1.layers.0.weight_ih", "blocks.1.layers.0"},
                                                        {"blocks.1.layers.1.weight_hh", "blocks.1.layers.1"},
                                                        {"blocks.2.layers.0.bias", "blocks.2.layers.0"},
                                                        {"note_head.weight", "note_head"},
                                                        {"volume_head.bias", "volume_head"},
                                                        {"", ""}}) {
    Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
    for (const auto& [name, tensor] : model.parameter_tensors())
      if (name == parameter) tensor->copy_from(Tensor::full(tensor->shape(), std::nan(""), Dtype::f32));
    BOOST_TEST(first_not_finite_layer(model, batch, ForwardContext{}) == layer, parameter);
  }
  // In the gradients alone: the last of them is where backward met it first.
  Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
  TrainingStep::Result result;
  result.gradient_squares.assign(model.parameter_tensors().size(), 1);
  result.weight_squares = result.gradient_squares;
  BOOST_TEST(find_cause(result, model, batch, ForwardContext{}).what.empty());
  result.gradient_squares[0] = result.gradient_squares[2] = std::nan("");
  const NotFiniteCause gradient = find_cause(result, model, batch, ForwardContext{});
  BOOST_TEST(gradient.what == "the gradient of " + model.parameter_tensors()[2].first + " and of 1 other");
  BOOST_TEST(gradient.layer ==
             model.parameter_tensors()[2].first.substr(0, model.parameter_tensors()[2].first.rfind('.')));
  BOOST_TEST(gradient.parameters.size() == 2u);
}

BOOST_AUTO_TEST_CASE(differs_from_a_bad_batch) {
  const auto step = [](double norm, double loss, double weights) {
    TrainingStep::Result result;
    result.gradient_squares = {norm * norm};
    result.weight_squares = {weights * weights};
    result.losses[Loss::total] = loss;
    return result;
  };
  StepHistory history;
  history.start(20);
  BOOST_TEST(!history.grows());
  for (int i = 0; i < 150; ++i) history.add(step(1 + 0.5 * (i % 7), 0.3 + 0.01 * (i % 5), 20 + 0.1 * i));
  BOOST_TEST(!history.grows());
  BOOST_TEST(history.text() ==
             "before it the gradient norm was 2 (median 2.5), the loss 0.34 (median 0.32), the weight norm 34.9 (20 at "
             "the start)");
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
  history.start(1e30);  // a session on weights that are lost already: the steps before are forgotten
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
  for (bool skip : {false, true}) {  // an update that has happened cannot be skipped
    config.train.skip_not_finite = skip;
    const NotFiniteError error = error_of([&] { Session(config).run(folder / "run"); });
    const std::string message = error.what();
    BOOST_TEST(error.diverged);
    BOOST_TEST(message.starts_with("training diverged: the weight of "), message);
    BOOST_TEST(message.find(", as its update left it, of step 4 (epoch 2) is not a finite number") != std::string::npos,
               message);
  }
  for (size_t i = 0; i < before.size(); ++i)
    BOOST_TEST((read_file((folder / "run") + "/" + checkpoint_files[i]) == before[i]), checkpoint_files[i]);
  config.train.learning_rate = 0.01;
  BOOST_TEST((Session(config).run(folder / "run") == TrainEnd::finished));
}

BOOST_AUTO_TEST_SUITE_END()
