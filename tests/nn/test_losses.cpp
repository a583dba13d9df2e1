#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <utility>

#include "tests/support/models.h"

// The losses of MODEL.md "Losses" in plain loops, and the gradients of every variant.
namespace {

using namespace poph;
using namespace poph::test;

constexpr int64_t steps = 4, batch = 2;
const std::vector<HarmonyMatrix> matrices{HarmonyMatrix::diatonic, HarmonyMatrix::harmonic_minor,
                                          HarmonyMatrix::melodic_minor, HarmonyMatrix::triad, HarmonyMatrix::krumhansl};

struct Variant {
  std::string name;
  LossSettings settings;
  int64_t channels;
};
std::ostream& operator<<(std::ostream& out, const Variant& variant) { return out << variant.name; }

// The weight of every part that has one; each in a different proportion, so that no two can be mistaken.
LossSettings with_weights(double weight, LossSettings settings) {
  for (const LossPart& part : loss_parts)
    if (part.weight) settings.weight[part] = std::exchange(weight, weight / 2);
  return settings;
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (HarmonyInput input : {HarmonyInput::softmax, HarmonyInput::raw})
    for (HarmonyReduction reduction : {HarmonyReduction::mean, HarmonyReduction::mean_square})
      for (HarmonyMatrix matrix : matrices)
        for (int64_t span : {1, 4})
          for (bool sum_notes : {false, true}) {
            const double weight = matrix == HarmonyMatrix::triad && span == 4 ? 0 : 0.3;
            const int64_t channels = matrix == HarmonyMatrix::krumhansl ? 1 : 3;
            all.push_back(
                {joined("input ", static_cast<int>(input), ", reduction ", static_cast<int>(reduction), ", matrix ",
                        static_cast<int>(matrix), ", span ", span, sum_notes ? ", summed" : "", ", weight ", weight),
                 with_weights(weight, {.sum_notes = sum_notes, .harmony = {input, matrix, span, reduction}}),
                 channels});
          }
  return all;
}

Prediction random_prediction(const ModelSettings& model) {
  const Shape shape{steps, batch, model.notes, 1};
  return {Var(random_input(shape.with(-1, model.channels == 1 ? 1 : 2), 10), true),
          model.channels > 1 ? Var(random_input(shape, 11), true) : Var()};
}

using Numbers = PerLoss<double>;

// log(1 + e^x) - t x: the BCE from logits of MODEL.md "Losses", the plain way
double cross_entropy(double x, double t) {
  return -(t * std::log(1 / (1 + std::exp(-x))) + (1 - t) * std::log(1 / (1 + std::exp(x))));
}

Numbers naive(const Prediction& prediction, const Tensor& target, const LossSettings& settings,
              const ModelSettings& model) {
  Numbers sum;
  const auto logits = prediction.notes.value().values(), truth = target.values();
  const auto volumes = prediction.volume.defined() ? prediction.volume.value().values() : std::vector<double>();
  const int64_t notes = model.notes, channels = model.channels, outputs = channels == 1 ? 1 : 2;
  const auto matrix = disharmony_matrix(settings.harmony.matrix);
  const double cells = static_cast<double>(steps * batch) * (settings.sum_notes ? 1.0 : static_cast<double>(notes));
  for (int64_t i = 0; i < steps * batch * notes; ++i) {
    const double play = truth[i * channels];
    sum[Loss::play] += cross_entropy(logits[i * outputs], play) / cells;
    if (channels == 1) continue;
    sum[Loss::replay] += play * cross_entropy(logits[i * 2 + 1], truth[i * 3 + 1]) / cells;
    sum[Loss::volume] += play * std::pow(truth[i * 3 + 2] - volumes[i], 2) / cells;
  }
  const int64_t span = settings.harmony.span;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t first = 0; first < steps; first += span) {
      std::vector<double> distance(24);
      for (int64_t t = first; t < first + span; ++t) {
        std::vector<double> folded(12);
        for (int64_t n = 0; n < notes; ++n)
          folded[(model.lowest_note + n) % 12] += 1 / (1 + std::exp(-logits[((t * batch + b) * notes + n) * outputs]));
        if (settings.harmony.input == HarmonyInput::softmax) {
          double total = 0;
          for (double& value : folded) total += value = std::exp(value);
          for (double& value : folded) value /= total;
        }
        for (int64_t key = 0; key < 24; ++key)
          for (int64_t c = 0; c < 12; ++c)
            distance[key] += matrix[key * 12 + c] * folded[c] / static_cast<double>(span);
      }
      const double nearest = *std::min_element(distance.begin(), distance.end());
      sum[Loss::harmony] += (settings.harmony.reduction == HarmonyReduction::mean ? nearest : nearest * nearest) /
                            static_cast<double>(batch * steps / span);
    }
  for (const LossPart& part : loss_parts)
    if (part.loss != Loss::total) sum[Loss::total] += (part.weight ? settings.weight[part] : 1) * sum[part];
  return sum;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(losses, OneThread)

BOOST_DATA_TEST_CASE(agree_with_plain_loops_and_their_gradients_with_differences,
                     boost::unit_test::data::make(variants()), variant) {
  const ModelSettings model = tiny_settings({}, 17, variant.channels);
  const Prediction prediction = random_prediction(model);
  const Tensor target = random_roll({steps, batch, model.notes, model.channels}, 20, Dtype::f64);
  const LossFunction loss(variant.settings, model, Dtype::f64, Device::cpu);
  const Losses found = loss(prediction, {.input = {}, .target = target, .beat = {}});
  const Numbers expected = naive(prediction, target, variant.settings, model);
  const auto same = [](const Var& a, double b) { return std::abs(a.value().item() - b) < 1e-13 * std::abs(b); };
  for (const LossPart& part : loss_parts) {
    BOOST_TEST(found[part].defined() == (variant.channels == 3 || !part.whole_notes_only), part.name);
    if (found[part].defined()) BOOST_TEST(same(found[part], expected[part]), part.name);
  }
  Vars leaves{prediction.notes};
  if (prediction.volume.defined()) leaves.push_back(prediction.volume);
  BOOST_TEST(
      gradient_error([&] { return Vars{loss(prediction, {.input = {}, .target = target, .beat = {}})[Loss::total]}; },
                     leaves, 1) < gradient_limit);
  if (variant.channels == 1) return;
  for (const LossPart& part : loss_parts)  // by itself: the others would drown its gradient
    if (part.weight)
      BOOST_TEST(
          gradient_error([&] { return Vars{loss(prediction, {.input = {}, .target = target, .beat = {}})[part]}; },
                         {prediction.notes}, 1) < gradient_limit,
          part.name);
}

// Rows by hand, C C# D D# E F F# G G# A A# B: the cost of each pitch class.
BOOST_AUTO_TEST_CASE(harmony_matrices) {
  struct Key {
    HarmonyMatrix matrix;
    int row;
    std::string costs;
  };
  constexpr int C = 0, D = 2, B = 11, minor = 12, A = 9;
  for (const Key& key : std::vector<Key>{{HarmonyMatrix::diatonic, C, "010100101010"},          // the white keys
                                         {HarmonyMatrix::diatonic, D, "100101001010"},          // F# and C#
                                         {HarmonyMatrix::diatonic, B, "101001010100"},          // B C# D# E F# G# A#
                                         {HarmonyMatrix::diatonic, minor + A, "010100101010"},  // as C major
                                         {HarmonyMatrix::diatonic, minor + C, "010010100101"},  // Eb, Ab and Bb
                                         {HarmonyMatrix::harmonic_minor, C, "010100101010"},
                                         {HarmonyMatrix::harmonic_minor, minor + A, "010100110010"},  // G# for G
                                         // F# and G# for F and G
                                         {HarmonyMatrix::melodic_minor, minor + A, "010101010010"},
                                         {HarmonyMatrix::triad, C, "011101101111"},             // C E G
                                         {HarmonyMatrix::triad, minor + A, "011101111011"},     // A C E
                                         {HarmonyMatrix::triad, minor + D, "110110111011"}}) {  // D F A
    const auto matrix = disharmony_matrix(key.matrix);
    for (int c = 0; c < 12; ++c)
      BOOST_TEST(matrix[key.row * 12 + c] == (key.costs[c] == '1' ? 1.0 : 0.0),
                 "matrix " << static_cast<int>(key.matrix) << ", row " << key.row << ", pitch class " << c);
  }
  const auto profile = disharmony_matrix(HarmonyMatrix::krumhansl);
  const auto at = [&](int row, int c) { return profile[row * 12 + c]; };
  BOOST_TEST(at(C, C) == 0.0);
  BOOST_TEST(std::abs(at(C, 7) - (1 - 5.19 / 6.35)) < 1e-15);
  BOOST_TEST(std::abs(at(D, C) - (1 - 2.29 / 6.35)) < 1e-15);  // a minor seventh up
  BOOST_TEST(at(minor + A, A) == 0.0);
  BOOST_TEST(std::abs(at(minor + A, C) - (1 - 5.38 / 6.33)) < 1e-15);  // the minor third
  BOOST_TEST(std::abs(at(minor + A, 8) - (1 - 3.17 / 6.33)) < 1e-15);  // the leading note
}

// All pitch classes alike: every key costs the same, and C major, the first, gets the gradient.
BOOST_AUTO_TEST_CASE(the_first_of_equal_keys_gets_the_gradient) {
  for (const auto& [span, weight] : std::vector<std::pair<int64_t, double>>{{1, 1.0}, {2, 0.5}}) {
    LossSettings settings;
    settings.harmony.input = HarmonyInput::raw;
    settings.harmony.span = span;
    ModelSettings model = tiny_settings({}, 12, 1);
    model.lowest_note = 60;
    const LossFunction loss(settings, model, Dtype::f64, Device::cpu);
    const Var logit(Tensor::zeros({2, 1, 12, 1}, Dtype::f64), true);
    const Var harmony = loss.harmony(logit);
    BOOST_TEST(harmony.value().item() == 2.5);
    backward(harmony);
    const std::string outside = "010100101010";
    const auto gradient = logit.gradient().values();
    for (int i = 0; i < 24; ++i) BOOST_TEST(gradient[i] == (outside[i % 12] == '1' ? 0.25 / 2 : 0.0));
    BOOST_TEST(weight > 0);
  }
}

// C major for two steps, then F# major: apart each fits a key, together none does.
BOOST_AUTO_TEST_CASE(a_span_judges_its_steps_together) {
  ModelSettings model = tiny_settings({}, 12, 1);
  model.lowest_note = 60;
  std::vector<double> logits;
  for (int step = 0; step < 4; ++step)
    for (int c = 0; c < 12; ++c)
      logits.push_back((step < 2 ? "101011010101"[c] : "010110101011"[c]) == '1' ? 100 : -100);
  const Var play(Tensor::from(logits, {4, 1, 12, 1}, Dtype::f64));
  const auto harmony = [&](int64_t span) {
    LossSettings settings;
    settings.harmony.input = HarmonyInput::raw;
    settings.harmony.span = span;
    return LossFunction(settings, model, Dtype::f64, Device::cpu).harmony(play).value().item();
  };
  BOOST_TEST(std::abs(harmony(1)) < 1e-12);
  BOOST_TEST(std::abs(harmony(2)) < 1e-12);
  BOOST_TEST(std::abs(harmony(4) - 2.5) < 1e-12);
  BOOST_TEST(message_of([&] { harmony(3); }) == "harmony loss: a span of 3 steps does not divide a window of 4");
}

BOOST_AUTO_TEST_CASE(weight_0_costs_nothing_and_is_reported) {
  const ModelSettings model = tiny_settings({}, 17);
  const Prediction prediction = random_prediction(model);
  const Tensor target = random_roll({steps, batch, 17, 3}, 20, Dtype::f64);
  const auto with = [&](double weight) {
    return LossFunction(with_weights(weight, {}), model, Dtype::f64, Device::cpu)(
        prediction, {.input = {}, .target = target, .beat = {}});
  };
  const Losses off = with(0), on = with(0.1);
  double rest = 0;
  for (const LossPart& part : loss_parts) {
    BOOST_TEST(off[part].value().item() > 0, part.name);
    if (part.weight) BOOST_TEST(off[part].value().item() == on[part].value().item(), part.name);
    if (!part.weight && part.loss != Loss::total) rest += off[part].value().item();
  }
  BOOST_TEST(off[Loss::total].value().item() == rest);
}

BOOST_AUTO_TEST_SUITE_END()
