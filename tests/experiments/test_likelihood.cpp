#include <boost/test/unit_test.hpp>
#include <cmath>

#include "data/matches.h"
#include "data/windows.h"
#include "experiments/train/likelihood.h"
#include "tests/support/models.h"
#include "tests/support/rolls.h"

// The likelihood of whole pieces, read in groups and chunks, beside the plain product of what the model says of each
// cell (MODEL.md "Evaluation").
namespace {

using namespace poph;
using namespace poph::test;

// Some pieces of so many steps; each cell by chance.
std::vector<Piece> random_pieces(const ModelSettings& settings, const std::vector<int64_t>& lengths) {
  std::vector<Piece> pieces;
  for (int64_t steps : lengths)
    pieces.push_back({"piece", std::make_shared<const Roll>(chance_roll(60 + static_cast<uint32_t>(steps), steps,
                                                                        settings.lowest_note, settings.notes, 0.4))});
  for (int64_t channels : {1, 3}) find_matches(pieces, channels, 1);
  for (size_t i = 0; i < pieces.size(); ++i) pieces[i].style = some_mixture(settings, static_cast<uint32_t>(i));
  return pieces;
}

// The probability of each cell of a piece as it is, [steps][notes], from the form for whole sequences.
std::vector<double> plain_probabilities(const Biaxial& model, const Piece& piece) {
  const NoGrad no_grad;
  const Roll& roll = *piece.roll;
  ForwardContext evaluation;
  const Tensor logits =
      model(piece_batch(piece, 0, roll.steps(), model.settings.channels, Dtype::f64, 4), evaluation).notes.value();
  const std::vector<double> values = logits.values();
  std::vector<double> found;
  for (int64_t t = 0; t < roll.steps(); ++t)
    for (int64_t n = 0; n < roll.notes(); ++n) {
      const double p = 1 / (1 + std::exp(-values[(t * roll.notes() + n) * logits.shape().last()]));
      found.push_back(roll.cell(t, n) ? p : 1 - p);
    }
  return found;
}

bool near(double a, double b) { return std::abs(a - b) < 1e-11 * std::abs(b); }

void check_score(const PieceScore& found, const std::vector<double>& probabilities, const Roll& roll) {
  double all = 0, first = 0;
  for (size_t cell = 0; cell < probabilities.size(); ++cell) {
    all += std::log(probabilities[cell]);
    if (cell < static_cast<size_t>(roll.notes())) first = all;
  }
  BOOST_TEST(found.steps == roll.steps());
  BOOST_TEST(near(found.all, all));
  BOOST_TEST(near(found.first, first));
}

// Of other lengths and of like ones: some are read side by side, and each of the long ones in several chunks.
const std::vector<int64_t> some_lengths = {1, 37, 50, 44, 30, 49};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(likelihood, OneThread)

BOOST_AUTO_TEST_CASE(likelihood_is_the_product_of_the_probabilities) {
  for (const TinyModel& tiny : tiny_models()) {
    const Biaxial model = made(tiny.settings);
    const std::vector<Piece> pieces = random_pieces(tiny.settings, some_lengths);
    const Biaxial* models[] = {&model};
    const auto scores = [&] { return *score_pieces(models, pieces, 4, {}, 48 * tiny.settings.notes); };
    if (!tiny.autoregressive) {
      BOOST_TEST(message_of(scores) == "log-likelihood: this model sees the notes it predicts, so it has none");
      continue;
    }
    const Scores found = scores();
    BOOST_TEST_CONTEXT(tiny.name) {
      BOOST_TEST_REQUIRE(found.size() == 1u);
      for (size_t i = 0; i < pieces.size(); ++i)
        check_score(found[0][i], plain_probabilities(model, pieces[i]), *pieces[i].roll);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_mixture_has_the_mean_of_the_conditionals) {
  ModelSettings settings = tiny_settings({lstm_block(BlockKind::lstm_time), lstm_block(BlockKind::lstm_notes)}, 7),
                alone = settings, other = settings;
  alone.channels = 1;
  settings.match = alone.match = true;  // with replays in its frames, and without
  other.blocks.insert(other.blocks.begin(), attention_block(BlockKind::attention_notes));
  const Biaxial a = made(settings), b = made(alone), c = made(other);
  const Biaxial* models[] = {&a, &b, &c};
  const std::vector<Piece> pieces = random_pieces(settings, some_lengths);
  const Scores found = *score_pieces(models, pieces, 4, {}, 48 * settings.notes);
  BOOST_TEST_REQUIRE(found.size() == 4u);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Roll& roll = *pieces[i].roll;
    std::vector<double> mean(roll.steps() * roll.notes());
    for (size_t m = 0; m < 3; ++m) {
      const std::vector<double> one = plain_probabilities(*models[m], pieces[i]);
      check_score(found[m][i], one, roll);
      for (size_t cell = 0; cell < mean.size(); ++cell) mean[cell] += one[cell] / 3;
    }
    check_score(found[3][i], mean, roll);
  }

  const auto message_with = [&](const ModelSettings& second) {
    const Biaxial one = made(second);
    const Biaxial* two[] = {&a, &one};
    return message_of([&] { return *score_pieces(two, pieces, 4); });
  };
  settings.descending = !settings.descending;
  BOOST_TEST(message_with(settings).starts_with("mixture: found models of both note orders"));
  settings.condition = false;  // no chosen note is fed, so that there is no order
  BOOST_TEST(message_with(settings) == "no error");
  settings.lowest_note += 1;
  BOOST_TEST(message_with(settings) == joined("mixture: found 7 notes from ", settings.lowest_note,
                                              ", expected 7 from ", settings.lowest_note - 1,
                                              " as the first model has"));
}

BOOST_AUTO_TEST_CASE(four_averages) {
  const PieceScore pieces[] = {{1, -3, -3}, {4, -10, -2}};
  const Averages found = averages(pieces, 4), alone = averages(std::span(pieces).first(1), 4);
  BOOST_TEST(found.nats_per_step == -13.0 / 5);
  BOOST_TEST(found.nats_per_step_without_first == -8.0 / 3);
  BOOST_TEST(found.nats_per_step_mean_of_pieces == (-3 - 2.5) / 2);
  BOOST_TEST(found.nats_per_quarter == -13.0 / 5 * 4);
  BOOST_TEST(std::isnan(alone.nats_per_step_without_first));
}

BOOST_AUTO_TEST_SUITE_END()
