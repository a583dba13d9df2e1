#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>

#include "data/files/file.h"
#include "experiments/programs/idle_keys.h"
#include "experiments/run/same_run.h"
#include "experiments/run/start.h"
#include "experiments/train/schedule.h"
#include "nn/checkpoint.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_training.h"

// What a training is told beside its optimiser: the learning rate over time, averaged weights, weights to start from.
namespace {

using namespace poph;
using namespace poph::test;
namespace fs = std::filesystem;

Config averaged_config() {
  Config config = tiny_config();
  config.train.average = 0.8;
  return config;
}

bool same_weights(Biaxial& a, Biaxial& b) {
  const auto all = a.parameter_tensors(), others = b.parameter_tensors();
  for (size_t i = 0; i < all.size(); ++i)
    if (!same_bits(*all[i].second, *others[i].second)) return false;
  return all.size() == others.size();
}

bool same_weights(Biaxial& model, const TensorFile& file, const std::string& prefix = "") {
  for (const auto& [name, tensor] : model.parameter_tensors())
    if (!same_bits(*tensor, file.tensors.at(prefix + name))) return false;
  return true;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(recipe, OneThread)

// ---- the learning rate ----

BOOST_AUTO_TEST_CASE(learning_rates_by_their_closed_forms) {
  TrainConfig train;
  train.learning_rate = 0.5;
  train.warmup_steps = 4;
  train.final_learning_rate = 0.2;
  const auto rates = [&](Schedule schedule, int64_t steps) {
    train.schedule = schedule;
    std::vector<double> found;
    for (int64_t step : {0, 1, 3, 4, 8, 12, 20, 30}) found.push_back(scheduled_learning_rate(train, step, steps, 0.5));
    return found;
  };
  const auto check = [](const std::vector<double>& found, const std::vector<double>& expected) {
    for (size_t i = 0; i < expected.size(); ++i) BOOST_TEST(std::abs(found[i] - expected[i]) < 1e-15, "place " << i);
  };
  check(rates(Schedule::constant, 20), {0.125, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5});
  check(rates(Schedule::plateau, 20), {0.0625, 0.125, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25});
  // A quarter, half and the whole of the way from 0.5 to 0.1, over the 16 steps behind the warm-up.
  const double quarter = 0.1 + 0.4 * 0.5 * (1 + std::sqrt(0.5));
  check(rates(Schedule::cosine, 20), {0.125, 0.25, 0.5, 0.5, quarter, 0.3, 0.1, 0.1});
  check(rates(Schedule::cosine, 3), {0.125, 0.25, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1});  // ended within the warm-up
  train.warmup_steps = 0;
  train.final_learning_rate = 0;
  check(rates(Schedule::cosine, 24),
        {0.5, 0.25 * (1 + std::cos(M_PI / 24)), 0.25 * (1 + std::cos(M_PI / 8)), 0.25 * (1 + std::cos(M_PI / 6)), 0.375,
         0.25, 0.25 * (1 - std::cos(M_PI / 6)), 0});
}

// A clipped step of SGD is as long as the learning rate says.
BOOST_AUTO_TEST_CASE(a_training_warms_up) {
  Config config = tiny_config();
  config.train.optimizer = OptimizerKind::sgd;
  config.train.learning_rate = 1;
  config.train.warmup_steps = 4;
  config.train.clip_norm = 0.01;
  Session session(config);
  for (int step = 0; step < 6; ++step) {
    Tensors before;
    for (const auto& [name, tensor] : session.model.parameter_tensors()) before.push_back(tensor->clone());
    session.trainer.train_step(0, 0);
    double length = 0;
    size_t next = 0;
    for (const auto& [name, tensor] : session.model.parameter_tensors())
      length += sums_of_squares({sub(*tensor, before[next++])}).item();
    BOOST_TEST(std::abs(std::sqrt(length) / (0.01 * std::min(1.0, (step + 1) / 4.0)) - 1) < 1e-3, "step " << step);
  }
}

BOOST_AUTO_TEST_CASE(weight_decay_is_a_setting) {
  Config config = tiny_config();
  config.train.optimizer = OptimizerKind::adamw;
  Session usual(config);
  config.train.weight_decay = 0.5;
  Session strong(config);
  for (Session* one : {&usual, &strong}) one->trainer.train_step(0, 0);
  const auto all = usual.model.parameter_tensors(), others = strong.model.parameter_tensors();
  for (size_t i = 0; i < all.size(); ++i)
    BOOST_TEST(same_bits(*all[i].second, *others[i].second) == (all[i].second->shape().rank() == 1), all[i].first);
}

// ---- averaged weights ----

BOOST_AUTO_TEST_CASE(the_mean_follows_the_weights_of_a_training) {
  Session session(averaged_config());
  std::vector<std::vector<double>> mean;
  for (const auto& [name, tensor] : session.model.parameter_tensors()) mean.push_back(tensor->values());
  for (int step = 0; step < 9; ++step) {
    session.trainer.train_step(0, 0);
    const double a = std::min(0.8, (1.0 + step) / (10.0 + step));
    size_t next = 0;
    for (const auto& [name, tensor] : session.model.parameter_tensors()) {
      const std::vector<double> weight = tensor->values();
      std::vector<double>& m = mean[next++];
      for (size_t i = 0; i < m.size(); ++i) m[i] += (1 - a) * (weight[i] - m[i]);
    }
  }
  size_t next = 0;
  for (const auto& [name, tensor] : session.trainer.judged_model().parameter_tensors())
    BOOST_TEST(relative_difference(tensor->values(), mean[next++]) < 1e-6, name);
  BOOST_TEST(!same_weights(session.trainer.judged_model(), session.model));
  Session plain(tiny_config());
  BOOST_TEST(&plain.trainer.judged_model() == &plain.model);
}

// Validation, best, what composes and what is evaluated: the mean. Training: the weights themselves, as without a mean.
BOOST_AUTO_TEST_CASE(the_mean_is_judged_and_composes) {
  const Folder folder;
  Session session(averaged_config()), plain(tiny_config());
  session.run(folder / "run");
  plain.run(folder / "plain");
  BOOST_TEST(same_weights(session.model, plain.model));
  BOOST_TEST((metrics_of(folder / "run", "train") == metrics_of(folder / "plain", "train")));
  BOOST_TEST((metrics_of(folder / "run", "valid") != metrics_of(folder / "plain", "valid")));

  const Checkpoint best = load_checkpoint((folder / "run") + "/checkpoints/best"),
                   last = load_checkpoint((folder / "run") + "/checkpoints/last");
  BOOST_TEST(same_weights(session.trainer.judged_model(), last.weights));
  BOOST_TEST(same_weights(session.model, last.state, "weight."));
  BOOST_TEST(!same_weights(session.model, last.weights));
  const OpenedModel opened = open_model(folder / "run", {}, Dtype::f32, Device::cpu);
  BOOST_TEST(same_weights(*opened.model, best.weights));
  const LossFunction loss(session.config.loss, session.config.model, Dtype::f32, Device::cpu);
  const double total =
      window_loss(*opened.model, loss, session.valid, first_windows(session.valid.count()), 4, false)->total();
  BOOST_TEST(total == session.trainer.state().best);
  for (const auto& [name, tensor] : load_checkpoint((folder / "plain") + "/checkpoints/last").state.tensors)
    BOOST_TEST(!name.starts_with("weight."), name);
}

BOOST_AUTO_TEST_CASE(a_training_state_without_its_weights_is_refused) {
  const Folder folder;
  const Config config = averaged_config();
  Session(config).run(folder / "run", true);
  const std::string path = (folder / "run") + "/checkpoints/last.state.safetensors";
  const TensorFile whole = read_safetensors(path);
  TensorFile state = whole;
  state.tensors.erase("weight.note_head.bias");
  write_safetensors(path, state);
  BOOST_TEST(message_of([&] { Session(config).run(folder / "run"); }) ==
             path + ": the training state lacks weight.note_head.bias, which train.average needs");
  state = whole;
  state.tensors.at("weight.note_head.bias") = Tensor::zeros({3}, Dtype::f32);
  write_safetensors(path, state);
  BOOST_TEST(message_of([&] { Session(config).run(folder / "run"); }) ==
             path + ": weight.note_head.bias is [3], expected [2]");
}

// ---- weights to start from ----

BOOST_AUTO_TEST_CASE(a_model_starts_from_a_run) {
  const Folder folder;
  Session session(averaged_config());
  session.run(folder / "run");
  Config config = tiny_config();
  BOOST_TEST(!read_start(config).has_value());
  const auto started = [&](const std::string& from) {
    config.train.start_from = from;
    Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
    Progress progress(true);
    const std::string log = folder / "log.txt";
    fs::remove(log);
    progress.log_to(log);
    start_from(*read_start(config), config, model, progress);
    BOOST_TEST(same_weights(model, load_checkpoint((folder / "run") + "/checkpoints/best").weights));
    return read_file(log);
  };
  const std::string best = (folder / "run") + "/checkpoints/best.safetensors";
  config.data.transpose = 1;
  config.model.dropout = 0.25;
  const std::string said = started(folder / "run");
  for (const std::string& line : {"the weights begin as those of " + best + ", whose experiment differs:\n",
                                  std::string("  data.transpose: was 2, now 1\n"), std::string("model.dropout: was "),
                                  std::string("  train.average: was 0.8, now 0.0\n")})
    BOOST_TEST(said.find(line) != std::string::npos, said);
  BOOST_TEST(said.find("start_from:") == std::string::npos, said);
  config = averaged_config();
  const std::string same = started(best);
  BOOST_TEST(same.find("the weights begin as those of " + best + "\n") != std::string::npos, same);
}

BOOST_AUTO_TEST_CASE(weights_that_do_not_fit_are_refused) {
  const Folder folder;
  Session(tiny_config()).run(folder / "run", true);
  Config config = tiny_config();
  config.train.start_from = folder / "run";
  config.model.octave_units = 7;
  config.model.blocks[2].units = 9;
  config.model.blocks.push_back(attention_block(BlockKind::attention_notes));
  Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
  Progress quiet(true);
  const std::string message = message_of([&] { start_from(*read_start(config), config, model, quiet); });
  BOOST_TEST(message.starts_with("train.start_from: " + (folder / "run") +
                                 "/checkpoints/last.safetensors does not fit the model: "),
             message);
  for (const char* part : {"missing blocks.3.query.weight", "octave_conv.weight is ", "blocks.2.layers.0.weight_hh is ",
                           "note_head.weight is "})
    BOOST_TEST(message.find(part) != std::string::npos, message);
  for (const char* gone : {"gone", "gone.safetensors"}) {
    config.train.start_from = folder / gone;
    const std::string refused = message_of([&] { read_start(config); });
    BOOST_TEST(refused.starts_with("train.start_from: "), refused);
    BOOST_TEST(refused.find(config.train.start_from) != std::string::npos, refused);
  }
}

// By what they are: a run goes on where they lie elsewhere now, and not with others.
BOOST_AUTO_TEST_CASE(the_weights_that_a_run_started_from_are_part_of_it) {
  const Folder folder;
  Config config = tiny_config();
  Session(config).run(folder / "a", true);
  config.seed = 8;
  Session(config).run(folder / "b", true);
  fs::copy(folder / "a", folder / "copy", fs::copy_options::recursive);
  RunRecord record;
  const RunFolder run(folder / "run");
  const auto with = [&](const std::string& start) {
    Config now = config;
    now.train.start_from = start.empty() ? "" : folder / start;
    return now;
  };
  run.write_config(with("a"));
  record.start_from = weights_fingerprint(folder / "a");
  const auto problem = [&](const std::string& start) {
    return message_of([&] {
      refuse_other_settings(run, with(start));
      refuse_other_start(run, with(start), record);
    });
  };
  BOOST_TEST(problem("a") == "no error");
  BOOST_TEST(problem("copy") == "no error");
  BOOST_TEST(problem("b") == (folder / "run") + " was started from other weights (fingerprint " + *record.start_from +
                                 ", now " + weights_fingerprint(folder / "b") +
                                 "); name=OTHER begins a run of its own beside it");
  BOOST_TEST(problem("gone").starts_with("train.start_from: "), problem("gone"));
  BOOST_TEST(problem("").find("was started with other settings; train.start_from: was ") != std::string::npos);
  BOOST_TEST(is_same_elsewhere(with("a"), {}, with("copy"), {}));
  BOOST_TEST(!is_same_elsewhere(with("a"), {}, with(""), {}));
  fs::remove_all(folder / "a");
  BOOST_TEST(problem("a") == "no error", "a run that goes on does not read it again");
}

BOOST_AUTO_TEST_CASE(the_files_of_generate_are_known_by_their_content) {
  const Folder folder;
  const std::string tune = folder / "tune.mid", copy = folder / "copy.mid", other = folder / "other.mid";
  for (const auto& [path, content] : {std::pair{tune, "one"}, {copy, "one"}, {other, "two"}})
    write_plainly(path, content);
  for (const GenerateFile& file : generate_files) {
    const auto with = [&](const std::string& path) {
      Config config = parse_config("model.blocks = [{ kind = \"lstm_time\" }]", "x");
      config.generate.*file.path = path;
      return config;
    };
    const auto is_same = [&](const std::string& was, const std::string& now) {
      return is_same_elsewhere(with(was), file_fingerprints(with(was).generate), with(now),
                               file_fingerprints(with(now).generate));
    };
    BOOST_TEST(is_same(tune, tune), file.key);
    BOOST_TEST(is_same(tune, copy), file.key);
    BOOST_TEST(!is_same(tune, other), file.key);
    BOOST_TEST(!is_same(tune, ""), file.key);
    BOOST_TEST(!is_same("", tune), file.key);
    BOOST_TEST(!is_same_elsewhere(with(tune), {}, with(copy), file_fingerprints(with(copy).generate)), file.key);
  }
}

// ---- the command line ----

BOOST_AUTO_TEST_CASE(keys_without_a_use_are_refused_on_the_command_line) {
  const auto problem = [](const std::vector<std::string>& overrides) {
    const Config config = parse_config(
        "model.blocks = [{ kind = \"lstm_time\" }]\ntrain.weight_decay = 0.5\ntrain.final_learning_rate = 0.5\n", "x",
        overrides);
    return message_of([&] { refuse_idle({&config}); });
  };
  BOOST_TEST(problem({}) == "no error");
  BOOST_TEST(problem({"train.weight_decay=0.1", "train.optimizer=adamw"}) == "no error");
  BOOST_TEST(problem({"train.final_learning_rate=0.1", "train.schedule=cosine"}) == "no error");
  BOOST_TEST(problem({"train.weight_decay=0.1"}) ==
             "command line: train.weight_decay: changes nothing here: only train.optimizer = \"adamw\" uses it");
  BOOST_TEST(problem({"train.final_learning_rate=0.1"}) ==
             "command line: train.final_learning_rate: changes nothing here: only train.schedule = \"cosine\" uses it");
  BOOST_TEST(problem({"data.stride=8"}) ==
             "command line: data.stride: changes nothing here: only data.windows = \"staggered\" uses it");
  BOOST_TEST(problem({"data.stride=8", "data.windows=staggered"}) == "no error");
  BOOST_TEST(problem({"model.match_dropout=0.5", "model.match=false"}) ==
             "command line: model.match_dropout: changes nothing here: only model.match = true uses it");
  BOOST_TEST(problem({"model.match_dropout=0.5"}) == "no error");
  BOOST_TEST(
      problem({"generate.particles=8"}) ==
      "command line: generate.particles: changes nothing here: only a condition, such as generate.scale, uses it");
  BOOST_TEST(problem({"generate.particles=8", "generate.most_notes=4"}) == "no error");
}

BOOST_AUTO_TEST_SUITE_END()
