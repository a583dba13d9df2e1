#include <boost/test/unit_test.hpp>
#include <cmath>

#include "nn/safetensors.h"
#include "tests/support/folder.h"
#include "tests/support/tiny_training.h"

// The training state's file: numbers that are refused, and those that may be missing.
namespace {

using namespace poph;
using namespace poph::test;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(training_state, OneThread)

BOOST_AUTO_TEST_CASE(numbers_out_of_range_are_refused) {
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
    BOOST_TEST(message_with("batch", batch)
                   .starts_with(begin + "batch = \"" + batch + "\", expected a whole number from 0 to "),
               batch);
  BOOST_TEST(message_with("epoch", "-2") == begin + "epoch = \"-2\", expected a whole number from 0");
  BOOST_TEST(message_with("best_epoch", "-2") == begin + "best_epoch = \"-2\", expected a whole number from -1");
  BOOST_TEST(message_with("best", "low") == begin + "best = \"low\", expected a number");
  for (const char* factor : {"nan", "inf", "-1", "2"})
    BOOST_TEST(message_with("learning_rate_factor", factor) ==
               begin + "learning_rate_factor = \"" + factor + "\", expected a number from 0 to 1");
  TensorFile state = whole;
  const std::string name = "second_moment.note_head.weight";
  state.tensors.at(name) = Tensor::full(state.tensors.at(name).shape(), INFINITY, Dtype::f32);
  write_safetensors(path, state);
  BOOST_TEST(message_of([&] { Session(config).run(folder / "run"); }) ==
             path + ": " + name + " holds values that are not finite numbers");
  write_safetensors(path, whole);
  BOOST_TEST((Session(config).run(folder / "run") == TrainEnd::finished));
}

// A run goes on from a state that was saved before one of the parts was known.
BOOST_AUTO_TEST_CASE(a_part_of_the_loss_may_be_missing) {
  const Config config = tiny_config();
  Session session(config);
  session.trainer.train_step(0, 0);
  TrainingState state = session.trainer.state();
  for (const LossPart& part : loss_parts) state.train_sum[part] = 2.5;
  const TensorFile whole = training_state_file(state, session.model, Optimizer{}, {});
  for (const LossPart& missing : loss_parts) {
    TensorFile file = whole;
    file.metadata.erase(missing.name);
    TrainingState found;
    Optimizer optimizer;
    std::vector<LstmState> none;
    read_training_state(file, "x", 3, session.model, found, optimizer, none);
    for (const LossPart& part : loss_parts)
      BOOST_TEST((found.train_sum[part] == (&part == &missing ? std::nullopt : std::optional(2.5))), part.name);
    BOOST_TEST(found.step == 1);
  }
  TensorFile file = whole;
  file.metadata.erase("norm_sum");
  BOOST_TEST(message_of([&] {
               TrainingState found;
               Optimizer optimizer;
               std::vector<LstmState> none;
               read_training_state(file, "x", 3, session.model, found, optimizer, none);
             }) == "x: the training state lacks \"norm_sum\": saved by another version?");
}

BOOST_AUTO_TEST_SUITE_END()
