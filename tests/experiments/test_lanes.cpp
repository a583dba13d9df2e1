#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "data/batches.h"
#include "data/files/file.h"
#include "experiments/train/likelihood.h"
#include "nn/optimizer.h"
#include "tensor/device.h"
#include "tests/support/folder.h"
#include "tests/support/midi_bytes.h"
#include "tests/support/tiny_training.h"

using namespace poph;
using namespace poph::test;

// MODEL.md "Windows": pieces laid end to end are trained as each is by itself.
namespace {

Piece random_piece(const ModelSettings& model, int64_t steps, uint64_t seed) {
  Random random{seed};
  const auto roll = std::make_shared<const Roll>(random_roll(random, steps, model.lowest_note, model.notes));
  Piece piece = pieces_for(model, {{joined("piece ", seed), roll}})[0];
  piece.style = one_style(model, static_cast<int64_t>(seed));
  return piece;
}

struct Sums {
  LossValues losses;  // times the steps
  Tensors gradients;
};

// Of lanes of these pieces, in f64, state carried from batch to batch; the sums over all steps.
Sums sums_of(Biaxial& model, const std::vector<Piece>& pieces, int64_t window, int64_t columns) {
  const LaneBatches lanes(pieces, {.window = window, .columns = columns});
  const LossFunction loss({}, model.settings, Dtype::f64, Device::cpu);
  std::vector<LstmState> states = model.zero_states(columns);
  zero_grad(model);
  Sums sums;
  for (int64_t number = 0; number < lanes.count(); ++number) {
    Batch batch = BatchLayout{.steps = window,
                              .columns = columns,
                              .notes = model.settings.notes,
                              .channels = model.settings.channels,
                              .dtype = Dtype::f64,
                              .match_features = model.settings.match_width(),
                              .styles = model.settings.styles,
                              .begins = true,
                              .weights = true}
                      .make();
    lanes.fill(batch, 0, number, 0);
    ForwardContext evaluation{.states = &states};
    const Losses losses = loss(model(batch, evaluation), batch);
    const auto steps = static_cast<double>(lanes.weight(number));
    sums.losses.add(LossValues::of(losses), steps);
    backward(scale(losses[Loss::total], steps));
  }
  sums.gradients = gradients_of(model);
  zero_grad(model);
  return sums;
}

Config lane_config(Precision precision = Precision::float32) {
  Config config = tiny_config(precision);
  config.data.staggered = false;
  return config;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lanes)

BOOST_DATA_TEST_CASE(a_lane_of_two_pieces_has_the_sums_of_each_alone, boost::unit_test::data::make(tiny_models()),
                     tiny) {
  Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  const Piece a = random_piece(tiny.settings, 7, 1), b = random_piece(tiny.settings, 5, 2);
  const Sums of_a = sums_of(model, {a}, 7, 1), of_b = sums_of(model, {b}, 5, 1);
  for (const int64_t window : {12, 16}) {  // with steps that are not there, too
    const Sums both = sums_of(model, {a, b}, window, 1);
    for (const LossPart& part : loss_parts)
      if (both.losses[part])
        BOOST_TEST(std::abs(*both.losses[part] - *of_a.losses[part] - *of_b.losses[part]) < 1e-11, part.name);
    for (size_t i = 0; i < both.gradients.size(); ++i)
      if (both.gradients[i].defined())
        BOOST_TEST(relative_difference(both.gradients[i], add(of_a.gradients[i], of_b.gradients[i])) < 1e-10);
  }
}

// What is read of a piece does not depend on where batches are cut, but for attention along time, which sees a batch.
BOOST_DATA_TEST_CASE(the_state_is_carried_from_batch_to_batch, boost::unit_test::data::make(tiny_models()), tiny) {
  for (const BlockSettings& block : tiny.settings.blocks)
    if (block.kind == BlockKind::attention_time_notes) return;
  Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  const std::vector<Piece> pieces{random_piece(tiny.settings, 9, 1), random_piece(tiny.settings, 1, 2),
                                  random_piece(tiny.settings, 6, 3)};
  const Sums whole = sums_of(model, pieces, 16, 1);
  for (const int64_t window : {3, 5, 1}) {
    const Sums cut = sums_of(model, pieces, window, 1);
    for (const LossPart& part : loss_parts)
      if (whole.losses[part]) BOOST_TEST(std::abs(*whole.losses[part] - *cut.losses[part]) < 1e-11, part.name);
  }
}

BOOST_DATA_TEST_CASE(the_validation_loss_is_the_likelihood, boost::unit_test::data::make(tiny_models()), tiny) {
  if (!tiny.autoregressive) return;
  const Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  const LossFunction loss({}, tiny.settings, Dtype::f64, Device::cpu);
  std::vector<Piece> pieces;
  for (const int64_t steps : {9, 1, 30, 10, 200, 31}) pieces.push_back(random_piece(tiny.settings, steps, steps));
  for (const BlockSettings& block : tiny.settings.blocks)  // whose work grows with the square of a piece
    if (block.kind == BlockKind::attention_time_notes) pieces.erase(pieces.begin() + 4);
  const LossValues values = *piece_loss(model, loss, pieces, 4);
  const double nats = log_likelihood(model, pieces, 4)->nats_per_step;
  BOOST_TEST(std::abs(*values[Loss::play] * static_cast<double>(tiny.settings.notes) + nats) < 1e-9);
}

BOOST_AUTO_TEST_CASE(shards_add_up_to_the_batch) {
  std::vector<Tensors> weights;
  std::vector<double> losses;
  for (const int64_t shards : {1, 2, 4}) {
    Config config = lane_config();
    config.train.shards = shards;
    config.train.optimizer = OptimizerKind::sgd;  // what Adam makes of a rounding error may be large
    config.model.dropout = config.model.input_dropout = config.model.blocks[0].dropout = 0;
    Session session(config);
    double total = 0;
    for (int64_t step = 0; step < 6; ++step)
      total += session.trainer.train_step(step % session.trainer.batches_per_epoch(), 0).total();
    losses.push_back(total);
    weights.emplace_back();
    for (const auto& [name, tensor] : session.model.parameter_tensors()) weights.back().push_back(*tensor);
  }
  for (size_t other = 1; other < weights.size(); ++other) {
    BOOST_TEST(std::abs(losses[other] - losses[0]) < 1e-4);
    for (size_t i = 0; i < weights[0].size(); ++i)
      BOOST_TEST(relative_difference(weights[other][i], weights[0][i]) < 1e-4);
  }
}

// The step of a batch in shards, by its definition.
BOOST_AUTO_TEST_CASE(shards_draw_from_streams_of_their_own_and_add_up_as_a_tree) {
  Config config = lane_config();
  config.train.shards = 4;
  config.train.batch = 8;
  config.train.optimizer = OptimizerKind::sgd;
  Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu),
      plain(config.model, config.seed, Dtype::f32, Device::cpu);
  const LossFunction loss(config.loss, config.model, Dtype::f32, Device::cpu);
  Optimizer optimizer, plain_optimizer;
  optimizer.kind = plain_optimizer.kind = OptimizerKind::sgd;
  TrainingStep step(config, model, loss, optimizer);
  const LaneBatches lanes({tune(200, 0), tune(190, 3)}, {.window = 16, .columns = 8, .shards = 4});
  std::vector<std::vector<LstmState>> states(4, plain.zero_states(2));
  for (const int64_t batch : {0, 1}) {
    step.start(8, static_cast<uint32_t>(batch), 0.1,
               [&](Batch& part, int64_t first) { lanes.fill(part, 0, batch, first); });
    const LossValues found = step.finish().losses;
    std::vector<Tensors> gradients;
    double total = 0;
    for (int64_t shard = 0; shard < 4; ++shard) {
      Batch part = batch_layout(config, 2).make();
      lanes.fill(part, 0, batch, 2 * shard);
      ForwardContext context{.training = true,
                             .seed = config.seed,
                             .step = static_cast<uint32_t>(batch),
                             .stream = static_cast<uint32_t>(shard),
                             .states = &states[shard]};
      const Losses losses = loss(plain(part, context), part);
      total += losses[Loss::total].value().item();
      backward(losses[Loss::total]);
      gradients.push_back(gradients_of(plain));
      zero_grad(plain);
    }
    size_t i = 0;
    plain.each_parameter([&](const std::string&, Var& parameter) {
      const auto of = [&](size_t shard) { return gradients[shard][i]; };
      parameter.gradient() = add(add(of(0), of(1)), add(of(2), of(3)));
      ++i;
    });
    plain_optimizer.step(plain, 0.1);
    zero_grad(plain);
    BOOST_TEST(std::abs(found.total() - total) < 1e-5);
    const auto weights = model.parameter_tensors(), expected = plain.parameter_tensors();
    for (size_t k = 0; k < weights.size(); ++k)
      BOOST_TEST(same_bits(*weights[k].second, *expected[k].second), weights[k].first);
  }
}

BOOST_DATA_TEST_CASE(the_same_bits_with_any_number_of_threads, boost::unit_test::data::make({1, 2, 4}), shards) {
  const Folder folder;
  Config config = lane_config();
  config.train.shards = shards;
  config.train.epochs = 1;
  const int before = threads();
  for (const int count : {1, 2}) {
    set_threads(count);
    Session(config).run(folder / std::to_string(count));
  }
  set_threads(before);
  check_same_checkpoints(folder / "1", folder / "2");
}

// Stopped within the first epoch, after each of its batches.
BOOST_DATA_TEST_CASE(goes_on_to_the_same_bits,
                     boost::unit_test::data::make({1, 2}) * boost::unit_test::data::make({false, true}), shards, bf16) {
  const Folder folder;
  Config config = lane_config(bf16 ? Precision::bf16 : Precision::float32);
  config.train.shards = shards;
  config.data.window = 8;
  config.train.epochs = 2;
  BOOST_TEST((Session(config).run(folder / "whole") == TrainEnd::finished));
  for (int64_t batch = 1; batch <= 3; ++batch) {
    Session session(config);
    BOOST_TEST(session.trainer.batches_per_epoch() == 3);
    BOOST_TEST((session.run(folder / "parts", true) == TrainEnd::interrupted));
    BOOST_TEST(session.trainer.state().batch == batch);
  }
  BOOST_TEST((Session(config).run(folder / "parts") == TrainEnd::finished));
  check_same_checkpoints(folder / "parts", folder / "whole");
}

// Matches belong to a piece, wherever it lies in its lane; so nothing of them is carried.
BOOST_DATA_TEST_CASE(match_features_are_trained, boost::unit_test::data::make({false, true}), staggered) {
  const Folder folder;
  Config config = lane_config();
  config.data.staggered = staggered;
  config.train.shards = 2;
  config.data.window = staggered ? 16 : 4;
  config.model.match = true;
  BOOST_TEST((Session(config).run(folder / "whole") == TrainEnd::finished));
  BOOST_TEST((Session(config).run(folder / "parts", true) == TrainEnd::interrupted));
  BOOST_TEST((Session(config).run(folder / "parts") == TrainEnd::finished));
  check_same_checkpoints(folder / "parts", folder / "whole");

  config.model.match_dropout = 0.99;  // other masks, and hardly a match is seen
  Session(config).run(folder / "blind");
  BOOST_TEST(
      (read_file(folder / "blind/" + checkpoint_files[2]) != read_file(folder / "whole/" + checkpoint_files[2])));
}

// A style belongs to a piece, too: the mixture changes where a lane goes on to the next one.
BOOST_DATA_TEST_CASE(styles_are_trained, boost::unit_test::data::make({false, true}), staggered) {
  const Folder folder;
  Config config = lane_config();
  config.data.staggered = staggered;
  config.train.shards = 2;
  config.data.window = staggered ? 16 : 4;
  config.model.styles = 2;
  config.model.style_units = 3;
  {
    const Threads threads(1);
    BOOST_TEST((Session(config).run(folder / "whole") == TrainEnd::finished));
  }
  const Threads threads(2);
  BOOST_TEST((Session(config).run(folder / "parts", true) == TrainEnd::interrupted));
  BOOST_TEST((Session(config).run(folder / "parts") == TrainEnd::finished));
  check_same_checkpoints(folder / "parts", folder / "whole");
  const TensorFile weights = read_safetensors(folder / "whole/checkpoints/last.safetensors");
  Biaxial begun(config.model, config.seed, Dtype::f32, Device::cpu);
  for (const auto& [name, tensor] : begun.parameter_tensors())
    if (name.find("style.") != name.npos) BOOST_TEST(!same_bits(*tensor, weights.tensors.at(name)), name);
}

// A step that is not applied carries nothing on.
BOOST_AUTO_TEST_CASE(a_step_that_is_not_finite_leaves_the_state) {
  const Config config = lane_config();
  Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
  const LossFunction loss(config.loss, config.model, Dtype::f32, Device::cpu);
  Optimizer optimizer;
  TrainingStep step(config, model, loss, optimizer);
  const LaneBatches lanes({tune(100, 0), tune(90, 3)}, {.window = 16, .columns = 4});
  const auto take = [&](int64_t batch, bool ruin) {
    step.start(4, static_cast<uint32_t>(batch), 0.01, [&](Batch& part, int64_t first) {
      lanes.fill(part, 0, batch, first);
      if (ruin) part.target.copy_from(Tensor::full(part.target.shape(), std::nan(""), Dtype::f32));
    });
    return step.finish();
  };
  take(0, false);
  const std::vector<LstmState> before = step.carried();
  BOOST_TEST(before.size() == 2u);
  BOOST_TEST(!same_bits(before[0].h, Tensor::zeros(before[0].h.shape(), Dtype::f32)));
  BOOST_TEST(!take(1, true).applied());
  for (size_t layer = 0; layer < before.size(); ++layer) {
    BOOST_TEST(same_bits(step.carried()[layer].h, before[layer].h));
    BOOST_TEST(same_bits(step.carried()[layer].c, before[layer].c));
  }
  step.skip();
  BOOST_TEST(take(2, false).applied());
  BOOST_TEST(!same_bits(step.carried()[0].h, before[0].h));
}

// The last steps of a piece are trained on: what stands there alone changes the weights.
BOOST_AUTO_TEST_CASE(endings_are_learnt) {
  const auto trained = [](int64_t last_note) {
    const Config config = lane_config();
    Biaxial model(config.model, config.seed, Dtype::f32, Device::cpu);
    Piece piece = tune(57, 0);
    auto roll = std::make_shared<Roll>(*piece.roll);
    std::vector<Cell> cells(12);
    cells[last_note] = 99;
    roll->append(cells);
    piece.roll = roll;
    const Windows train({piece}, 16, 16, 4), none;
    Trainer trainer(config, model, train, none);
    for (int64_t batch = 0; batch < trainer.batches_per_epoch(); ++batch) trainer.train_step(batch, 0);
    return model.note_head.weight.value();
  };
  BOOST_TEST(!same_bits(trained(0), trained(11)));
}

BOOST_AUTO_TEST_SUITE_END()
