#include <boost/test/unit_test.hpp>
#include <cmath>
#include <map>

#include "experiments/compose/composer.h"
#include "tests/support/fewer.h"
#include "tests/support/lively_models.h"
#include "tests/support/plain_matches.h"

// Composing under conditions (MODEL.md "Conditions") against enumeration: all pieces of 3 notes x 3 steps, each with
// the probability that the whole model gives it.
namespace {

using namespace poph;
using namespace poph::test;

constexpr int64_t toy_notes = 3, toy_steps = 3;
constexpr double temperature = 0.8;

// Orderings with 3 notes, with match features and without, of play alone and of all channels.
std::vector<TinyModel> toys() {
  std::vector<TinyModel> some;
  for (const auto& list : {tiny_models(), tiny_models_with_match()})
    for (TinyModel tiny : list)
      for (const char* name :
           {"lstm_lstm_sa", "sa2d_lstm_lstm", "time again", "play only", "14 notes, ascending", "leaky in 2d",
            "no condition", "match, play only, ascending", "lstm_lstm_sa, match", "sa2d_lstm_lstm, match",
            "time again, match", "14 notes, ascending, match", "styles, match, play only"})
        if (tiny.name == name) {
          tiny.settings.notes = toy_notes;
          some.push_back(tiny);
        }
  return some;
}

constexpr FixedCell silent{.play = Play::silent}, held{.play = Play::sounds, .struck = false, .velocity = 50},
    struck{.play = Play::sounds, .struck = true, .velocity = 110}, any{};

struct Case {
  std::string name;
  Constraint constraint;
};
std::vector<Case> cases() {  // steps in turn, each from its lowest note up
  const auto of = [](std::vector<FixedCell> cells) {
    return Constraint{.notes = toy_notes, .cells = std::move(cells)};
  };
  Constraint scale = of({}), few = of({}), all = of({any, any, any, any, struck, silent, any, any, any});
  scale.always_silent = {false, true, false};
  few.most_notes = 1;
  all.always_silent = {true, false, false};
  all.most_notes = 2;
  return {{"melody", of({any, struck, silent, any, held, silent, any, any, struck})},
          {"bass", of({any, any, any, silent, struck, any, struck, any, any})},
          {"melody that ends early", of({any, any, struck, any, silent, silent})},
          {"infilling", of({struck, silent, struck, any, any, any, held, struck, silent})},
          {"scale", scale},
          {"most notes", few},
          {"melody, scale and most notes", all}};
}

struct Partial {
  std::vector<std::vector<double>> steps;    // [step][note * channels]
  double log_probability = 0, log_free = 0;  // of all cells; of those that are free alone
};

double log_sigmoid(double x) { return -std::log(1 + std::exp(-x)); }

// One mixture in all steps.
Tensor styles_of(const ModelSettings& settings, int64_t times, Shape shape) {
  std::vector<double> shares;
  for (int64_t i = 0; i < times; ++i)
    for (const double share : some_mixture(settings)) shares.push_back(share);
  return shares.empty() ? Tensor() : Tensor::from(shares, shape, Dtype::f64);
}

// The model's outputs for this note of step `now` of every piece: [piece][play, replay, volume].
std::vector<std::vector<double>> outputs_of(const Biaxial& model, const std::vector<Partial>& pieces, int64_t now,
                                            int64_t note, int64_t context) {
  const int64_t notes = model.settings.notes, channels = model.settings.channels,
                length = context > 0 ? context : now + 1, first = now - length,
                count = static_cast<int64_t>(pieces.size()), row = notes * channels,
                width = model.settings.match_width();
  std::vector<double> input(length * count * row), target(input.size()), beat(length * count * 16),
      match(length * count * notes * width);
  for (int64_t b = 0; b < count; ++b) {
    const std::vector<double> features = plain_features(model.settings, pieces[b].steps, first + 1, now);
    for (int64_t t = 0; t < length; ++t) {
      const auto& before = pieces[b].steps;
      const int64_t s = first + t;  // the step that is read; its target is the next one
      if (s >= 0) std::copy(before[s].begin(), before[s].end(), input.begin() + (t * count + b) * row);
      if (s >= -1) std::copy(before[s + 1].begin(), before[s + 1].end(), target.begin() + (t * count + b) * row);
      if (s >= 0) beat[(t * count + b) * 16 + s] = 1;
      std::copy_n(features.begin() + t * notes * width, notes * width, match.begin() + (t * count + b) * notes * width);
    }
  }
  ForwardContext evaluation;
  const NoGrad no_grad;
  const Shape shape{length, count, notes, channels};
  const Prediction p =
      model({.input = Tensor::from(input, shape, Dtype::f64),
             .target = Tensor::from(target, shape, Dtype::f64),
             .beat = Tensor::from(beat, {length, count, 16}, Dtype::f64),
             .match = width == 0 ? Tensor() : Tensor::from(match, shape.with(-1, width), Dtype::f64),
             .style = styles_of(model.settings, length * count, {length, count, model.settings.styles})},
            evaluation);
  const std::vector<double> logits = p.notes.value().values(),
                            volumes = channels > 1 ? p.volume.value().values() : std::vector<double>();
  std::vector<std::vector<double>> found;
  for (int64_t b = 0; b < count; ++b) {
    const int64_t at = ((length - 1) * count + b) * notes + note;
    if (channels == 1)
      found.push_back({logits[at]});
    else
      found.push_back({logits[2 * at], logits[2 * at + 1], volumes[at]});
  }
  return found;
}

// All pieces that keep to the constraint.
std::vector<Partial> enumerated(const Biaxial& model, const Constraint& constraint, int64_t context) {
  const int64_t notes = model.settings.notes, channels = model.settings.channels;
  std::vector<Partial> pieces(1);
  for (int64_t now = 0; now < toy_steps; ++now) {
    for (Partial& piece : pieces) piece.steps.emplace_back(notes * channels);
    for (int64_t position = 0; position < notes; ++position) {
      const int64_t note = model.settings.descending ? notes - 1 - position : position;
      const FixedCell fixed = constraint.at(now, note);
      const auto outputs = outputs_of(model, pieces, now, note, context);
      std::vector<Partial> longer;
      for (size_t b = 0; b < pieces.size(); ++b) {
        int64_t sounding = 0, given_left = 0;
        for (int64_t n = 0; n < notes; ++n) {
          const bool later = model.settings.descending ? n < note : n > note;
          sounding += pieces[b].steps[now][n * channels] > 0;
          given_left += later && constraint.at(now, n).play == Play::sounds;
        }
        const bool free =
            fixed.play == Play::free && (constraint.most_notes == 0 || sounding + given_left < constraint.most_notes);
        const auto add = [&](double play, double replay, double log_probability) {
          Partial piece = pieces[b];
          piece.log_probability += log_probability;
          if (free) piece.log_free += log_probability;
          double* cell = &piece.steps[now][note * channels];
          cell[0] = play;
          if (channels > 1 && play > 0) {
            cell[1] = replay;
            cell[2] = fixed.velocity ? fixed.velocity / 127.0 : std::min(1.0, std::max(1.0 / 127, outputs[b][2]));
          }
          const int64_t after = sounding + (play > 0) + given_left;
          if (constraint.most_notes == 0 || after <= constraint.most_notes) longer.push_back(std::move(piece));
        };
        const double play = outputs[b][0] / temperature;
        if (fixed.play != Play::sounds) add(0, 0, log_sigmoid(-play));
        if (fixed.play == Play::silent) continue;
        if (channels == 1 || now == 0 || pieces[b].steps[now - 1][note * channels] == 0) {
          add(1, 0, log_sigmoid(play));
          continue;
        }
        const double replay = outputs[b][1] / temperature;
        if (fixed.play == Play::free || fixed.struck) add(1, 1, log_sigmoid(play) + log_sigmoid(replay));
        if (fixed.play == Play::free || !fixed.struck) add(1, 0, log_sigmoid(play) + log_sigmoid(-replay));
      }
      pieces = std::move(longer);
    }
  }
  return pieces;
}

using Distribution = std::map<std::string, double>;  // of pieces, by play and replay of each cell

// Given the condition, the condition's log probability, and the distribution of plain forcing.
struct Exact {
  Distribution given, forced;
  double log_sum = 0;
};
Exact exact(const Biaxial& model, const Constraint& constraint, int64_t context = 0) {
  Exact found;
  double sum = 0, forced_sum = 0;
  for (const Partial& piece : enumerated(model, constraint, context)) {
    std::string name;
    for (const auto& step : piece.steps)
      for (int64_t n = 0; n < toy_notes; ++n) {
        const double* cell = &step[n * model.settings.channels];
        name += cell[0] == 0 ? '.' : model.settings.channels > 1 && cell[1] > 0 ? 'r' : 'x';
      }
    found.given[name] = std::exp(piece.log_probability);
    found.forced[name] = std::exp(piece.log_free);
    sum += found.given[name];
    forced_sum += found.forced[name];
  }
  for (auto& [name, probability] : found.given) probability /= sum;
  BOOST_TEST(std::abs(forced_sum - 1) < 1e-9);
  found.log_sum = std::log(sum);
  return found;
}

std::string name_of(const Roll& roll, int64_t channels) {
  std::string name;
  for (int64_t s = 0; s < toy_steps; ++s)
    for (int64_t n = 0; n < toy_notes; ++n) {
      const Cell cell = roll.cell(s, n);
      name += cell == 0 ? '.' : channels > 1 && (cell & replay_bit) ? 'r' : 'x';
    }
  return name;
}

ComposeSettings settings_of(const Constraint& constraint, int64_t particles, int64_t pieces) {
  return {.pieces = pieces,
          .steps = toy_steps,
          .temperature = temperature,
          .seed = 5,
          .constraint = &constraint,
          .particles = particles};
}

// How far chi-squared of these counts lies above its mean, in standard deviations (Wilson and Hilferty 1931). Outcomes
// expected fewer than 5 times count as one.
double deviation(Distribution counts, const Distribution& expected, double total) {
  double sum = 0, rare = 0, rare_count = 0, outcomes = 0;
  const auto add = [&](double count, double mean) {
    sum += (count - mean) * (count - mean) / mean;
    ++outcomes;
  };
  for (const auto& one : expected) {
    if (one.second * total >= 5) {
      add(counts[one.first], one.second * total);
    } else {
      rare += one.second * total;
      rare_count += counts[one.first];
    }
  }
  if (rare > 1) add(rare_count, rare);
  BOOST_REQUIRE(outcomes > 1);
  const double spread = 2 / (9 * (outcomes - 1));
  return (std::cbrt(sum / (outcomes - 1)) - (1 - spread)) / std::sqrt(spread);
}

Distribution counted(const Biaxial& model, const Exact& known, ComposeSettings settings,
                     std::vector<ConditionReport>* reports = nullptr) {
  settings.style = some_mixture(model.settings);
  Distribution counts;
  for (const Roll& roll : compose(model, settings, {}, reports)) ++counts[name_of(roll, model.settings.channels)];
  for (const auto& one : counts) BOOST_REQUIRE_MESSAGE(known.given.contains(one.first), one.first);
  return counts;
}

Distribution times(Distribution shares, double total) {
  for (auto& one : shares) one.second *= total;
  return shares;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(composer_toys, OneThread)

// With many particles it is the model's own given the condition, with one that of plain forcing; the test tells the two
// apart wherever they differ by more than chance, for each kind of condition. The estimates of the condition's
// probability are right in the mean.
BOOST_AUTO_TEST_CASE(what_is_composed_has_the_models_own_distribution) {
  constexpr int64_t pieces = 500, particles = 32;
  std::map<std::string, int> told_apart;
  for (const TinyModel& tiny : some_of(toys())) {
    Biaxial model = lively_model(tiny.settings);
    const Biaxial composing = in_float(model);
    for (const Case& one : cases()) BOOST_TEST_CONTEXT(tiny.name << ", " << one.name) {
        const Exact known = exact(model, one.constraint);
        std::vector<ConditionReport> reports;
        const Distribution many = counted(composing, known, settings_of(one.constraint, particles, pieces), &reports);
        const Distribution forced = counted(composing, known, settings_of(one.constraint, 1, pieces));
        BOOST_TEST(deviation(many, known.given, pieces) < 3.5);
        BOOST_TEST(deviation(forced, known.forced, pieces) < 3.5);
        if (deviation(times(known.forced, pieces), known.given, pieces) > 6) {
          BOOST_TEST(deviation(forced, known.given, pieces) > 3.5);
          ++told_apart[one.name];
        }
        double mean = 0, square = 0;
        for (const ConditionReport& report : reports) {
          const double ratio = std::exp(report.log_probability - known.log_sum);
          mean += ratio / pieces;
          square += ratio * ratio / pieces;
        }
        BOOST_TEST(std::abs(mean - 1) < 4 * std::sqrt(std::max(0.0, square - mean * mean) / pieces) + 1e-5);
      }
  }
  for (const Case& one : cases())
    if (!POPH_ASAN && one.name != "melody that ends early") BOOST_TEST(told_apart[one.name] > 0, one.name);
}

// Re-reading the last steps, which are other ones for a particle that goes on as another did.
BOOST_AUTO_TEST_CASE(a_context_is_that_of_the_particle) {
  constexpr int64_t pieces = 800, context = 2;
  int64_t models = 0;
  for (const TinyModel& tiny : toys()) {
    if (tiny.name != "time again, match" && (POPH_ASAN || (tiny.name != "lstm_lstm_sa" && tiny.name != "play only")))
      continue;
    ++models;
    Biaxial model = lively_model(tiny.settings);
    for (const Case& one : cases()) {
      if (one.name != "bass" && one.name != "infilling" && one.name != "most notes") continue;
      ComposeSettings settings = settings_of(one.constraint, 32, pieces);
      settings.context = context;
      const Exact known = exact(model, one.constraint, context), carried = exact(model, one.constraint);
      const Distribution found = counted(in_float(model), known, settings);
      BOOST_TEST(deviation(found, known.given, pieces) < 3.5, tiny.name << ", " << one.name);
      BOOST_TEST(std::abs(known.log_sum - carried.log_sum) > 1e-3);
    }
  }
  BOOST_TEST(models == (POPH_ASAN ? 1 : 3));
}

BOOST_AUTO_TEST_SUITE_END()
