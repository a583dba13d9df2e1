#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "data/music/midi.h"
#include "data/windows.h"
#include "experiments/compose/composer.h"
#include "tests/support/models.h"
#include "tests/support/plain_matches.h"

// Composing (MODEL.md "Composing") against a plain form that runs the whole model again for every note.
namespace {

using namespace poph;
using namespace poph::test;

void set_bias(Linear& head, std::vector<double> values, double weights) {
  head.weight.value() = scale(head.weight.value(), weights);
  head.bias.value() = Tensor::from(values, head.bias.shape(), Dtype::f64);
}

// Models whose notes sound sometimes, for the tables below.
std::vector<TinyModel> some_models() {
  std::vector<TinyModel> some;
  for (const TinyModel& tiny : tiny_models())
    for (const char* name :
         {"lstm_lstm", "sa2d_lstm_lstm", "leaky", "leaky in 2d", "2d attention to chosen notes", "time again",
          "no condition", "play only", "14 notes, ascending", "match", "match, no condition",
          "match, play only, ascending", "styles", "styles, notes first, ascending", "styles, match, no condition"})
      if (tiny.name == name) some.push_back(tiny);
  return some;
}

Roll some_prime(const ModelSettings& settings, int64_t steps) {
  Roll roll(settings.lowest_note, settings.notes);
  const auto numbers = random_input({steps, settings.notes}, 77).values();
  std::vector<Cell> cells(settings.notes);
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t n = 0; n < settings.notes; ++n) cells[n] = numbers[t * settings.notes + n] > 0.3 ? 100 : 0;
    roll.append(cells);
  }
  return roll;
}

// The beats of steps 0 .. of music with these changes of meter: MODEL.md "Bars", step by step.
std::vector<int64_t> plain_beats(const std::vector<MeterChange>& changes, int64_t steps) {
  std::vector<int64_t> beats;
  int64_t place = 0, bar = 16;
  for (int64_t s = 0; s < steps; ++s, ++place) {
    if (place == bar) place = 0;
    for (const MeterChange& change : changes)
      if (change.step == s) place = 0, bar = 16 * change.meter.numerator / change.meter.denominator;
    beats.push_back(place % 16);
  }
  return beats;
}

Tensor styles(const ComposeSettings& settings, int64_t steps) {  // of one piece
  std::vector<double> shares;
  for (int64_t s = 0; s < steps; ++s) shares.insert(shares.end(), settings.style.begin(), settings.style.end());
  return shares.empty() ? Tensor() : Tensor::from(shares, {steps, 1, std::ssize(settings.style)}, Dtype::f64);
}

// MODEL.md "Composing" for one piece, word for word. Step s of `steps` is a row of notes x channels; before the first
// step there is silence, off the beat.
Roll plainly_composed(const Biaxial& model, const ComposeSettings& settings, uint32_t piece) {
  const int64_t notes = model.settings.notes, channels = model.settings.channels;
  std::vector<std::vector<double>> steps;
  if (settings.prime)
    for (int64_t s = 0; s < settings.prime->steps(); ++s) {
      steps.emplace_back(notes * channels);
      for (int64_t n = 0; n < notes; ++n) {
        const int velocity = settings.prime->cell(s, n) & velocity_bits;
        steps[s][n * channels] = velocity > 0;
        if (channels > 1) steps[s][n * channels + 2] = velocity / 127.0;
      }
    }
  const auto first_new = static_cast<int64_t>(steps.size());
  const std::vector<int64_t> beats = plain_beats(settings.meters, first_new + settings.steps);
  int64_t silent = 0;
  for (int64_t now = first_new; now < first_new + settings.steps; ++now) {
    const int64_t length = settings.context ? settings.context : now + 1, first = now - length;
    std::vector<double> input, beat;
    const std::vector<double> match = plain_features(model.settings, steps, first + 1, now);
    for (int64_t s = first; s < now; ++s) {
      for (int64_t i = 0; i < notes * channels; ++i) input.push_back(s < 0 ? 0 : steps[s][i]);
      for (int64_t i = 0; i < 16; ++i) beat.push_back(s >= 0 && beats[s] == i);
    }
    std::vector<double> target(input.begin() + notes * channels, input.end());
    std::vector<double> next(notes * channels);
    const double temperature = settings.temperature + 0.1 * static_cast<double>(silent < 16 ? 0 : silent - 15);
    for (int64_t position = 0; position < notes; ++position) {
      const int64_t note = model.settings.descending ? notes - 1 - position : position;
      std::vector<double> known = target;
      known.insert(known.end(), next.begin(), next.end());
      const Shape shape{length, 1, notes, channels};
      ForwardContext evaluation;
      const NoGrad no_grad;
      const Prediction p =
          model({.input = Tensor::from(input, shape, Dtype::f64),
                 .target = Tensor::from(known, shape, Dtype::f64),
                 .beat = Tensor::from(beat, {length, 1, 16}, Dtype::f64),
                 .match = match.empty() ? Tensor()
                                        : Tensor::from(match, shape.with(-1, model.settings.match_width()), Dtype::f64),
                 .style = styles(settings, length)},
                evaluation);
      const auto logits = p.notes.value().values();
      const int64_t outputs = channels == 1 ? 1 : 2, here = ((length - 1) * notes + note) * outputs;
      const RandomKey key{settings.seed, piece, static_cast<uint32_t>(now), RandomUse::sampling};
      const auto drawn = [&](double logit, int64_t draw) {
        return uniform_from_bits(key.bits(2 * position + draw)) < 1 / (1 + std::exp(-logit / temperature));
      };
      if (!drawn(logits[here], 0)) continue;
      next[note * channels] = 1;
      if (channels == 1) continue;
      next[note * 3 + 1] = now > 0 && steps[now - 1][note * 3] > 0 && drawn(logits[here + 1], 1);
      next[note * 3 + 2] = std::min(1.0, std::max(1.0 / 127, p.volume.value().values()[(length - 1) * notes + note]));
    }
    bool sounds = false;
    for (int64_t n = 0; n < notes; ++n) sounds = sounds || next[n * channels] > 0;
    silent = sounds ? 0 : silent + 1;
    steps.push_back(next);
  }
  Roll roll(model.settings.lowest_note, notes);
  std::vector<Cell> cells(notes);
  for (size_t s = settings.keep_prime ? 0 : first_new; s < steps.size(); ++s) {
    for (int64_t n = 0; n < notes; ++n) {
      const double* cell = &steps[s][n * channels];
      const auto velocity = channels == 1 ? 80 : std::lround(127 * cell[2]);
      cells[n] = cell[0] ? static_cast<Cell>(velocity | (channels > 1 && cell[1] ? replay_bit : 0)) : 0;
    }
    roll.append(cells);
  }
  // What is cut off from its prime begins with the rest of a bar.
  const std::vector<int64_t> beats_after(beats.begin() + (settings.keep_prime ? 0 : first_new), beats.end());
  roll.set_meters(Bars(settings.meters, 4).changes_from(settings.keep_prime ? 0 : first_new));
  int64_t bar = 0;
  while (bar < roll.steps() && beats_after[bar] != 0) ++bar;
  for (int64_t s = bar; s < roll.steps(); ++s) BOOST_TEST(Bars(roll.meters(), 4).beat_place(s) == beats_after[s]);
  return roll;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(generator, OneThread)

BOOST_DATA_TEST_CASE(composes_as_the_plain_form_does, boost::unit_test::data::make(some_models()), tiny) {
  const Biaxial model = made(tiny.settings);
  const Roll prime = some_prime(tiny.settings, 5);
  const std::vector<MeterChange> meters{{0, {3, 4}}, {7, {5, 16}}};  // the second one within a bar
  for (bool primed : {false, true})
    for (int64_t context : {0, 1, 4}) {
      const ComposeSettings settings{.pieces = 2,
                                     .steps = 18,
                                     .temperature = 1.3,
                                     .seed = 11,
                                     .prime = primed ? &prime : nullptr,
                                     .keep_prime = primed,
                                     .meters = context == 1 ? std::vector<MeterChange>{} : meters,
                                     .context = context,
                                     .style = some_mixture(tiny.settings)};
      const std::vector<Roll> found = compose(model, settings);
      BOOST_TEST(found.size() == 2u);
      for (uint32_t piece = 0; piece < 2; ++piece)
        BOOST_TEST((found[piece] == plainly_composed(model, settings, piece)),
                   "context " << context << (primed ? ", primed" : "") << ", piece " << piece);
      BOOST_TEST(found[0].sounding_cells() > 0);
      BOOST_TEST((found[0] != found[1]));
    }
}

BOOST_AUTO_TEST_CASE(a_seed_is_a_piece_whatever_is_composed_beside_it) {
  for (const TinyModel& tiny : some_models()) {
    const Biaxial model = made(tiny.settings);
    const auto composed = [&](uint64_t seed, int64_t pieces) {
      return compose(model, {.pieces = pieces, .steps = 30, .seed = seed, .style = some_mixture(tiny.settings)});
    };
    const std::vector<Roll> three = composed(1, 3);
    BOOST_TEST_CONTEXT(tiny.name) {
      BOOST_TEST((three == composed(1, 3)));
      BOOST_TEST((three != composed(2, 3)));
      BOOST_TEST((three[0] == composed(1, 1)[0]));
      const std::vector<Roll> two = composed(1, 2);
      BOOST_TEST((three[0] == two[0]));
      BOOST_TEST((three[1] == two[1]));
      const Threads threads(2);
      BOOST_TEST((three == composed(1, 3)));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_prime_is_read_and_is_part_of_the_piece_with_keep_prime) {
  const Biaxial model = made(tiny_models()[0].settings);
  const Roll prime = some_prime(model.settings, 70);  // more than is read at once
  ComposeSettings settings{.pieces = 2, .steps = 20};
  const std::vector<Roll> without = compose(model, settings);
  settings.prime = &prime;
  const std::vector<Roll> after = compose(model, settings);
  settings.keep_prime = true;
  const std::vector<Roll> with = compose(model, settings);
  BOOST_TEST((after != without));
  for (int piece = 0; piece < 2; ++piece) {
    BOOST_TEST(after[piece].steps() == 20);
    BOOST_TEST(with[piece].steps() == 90);
    for (int64_t s = 0; s < 90; ++s)
      for (int64_t n = 0; n < 5; ++n)
        BOOST_TEST(with[piece].cell(s, n) == (s < 70 ? prime.cell(s, n) : after[piece].cell(s - 70, n)));
  }
  BOOST_TEST((after[0] == plainly_composed(model, {.steps = 20, .prime = &prime}, 0)));

  const Roll other(40, 5);
  settings.prime = &other;
  BOOST_TEST(message_of([&] { compose(model, settings); }) == "prime: 5 notes from 40, the model has 5 from 58");
}

BOOST_AUTO_TEST_CASE(silence_warms_a_piece_up_until_it_sounds) {
  Biaxial model = made(tiny_models()[0].settings);
  set_bias(model.note_head, {-30, 0}, 0);                                   // e^-30: never, at temperature 1
  const ComposeSettings settings{.pieces = 3, .steps = 400, .context = 1};  // without a state that is carried
  const std::vector<Roll> rolls = compose(model, settings);
  for (uint32_t piece = 0; piece < 3; ++piece) {
    BOOST_TEST((rolls[piece] == plainly_composed(model, settings, piece)));
    int64_t silent = 0, sounding = 0;
    for (int64_t s = 0; s < 400; ++s) {
      int64_t notes = 0;
      for (int64_t n = 0; n < 5; ++n) notes += rolls[piece].cell(s, n) > 0;
      // at temperature 1 again it would not sound: it is set back at once
      if (notes) BOOST_TEST(silent > 16, "step " << s);
      sounding += notes > 0;
      silent = notes ? 0 : silent + 1;
    }
    BOOST_TEST(sounding > 2);
  }
}

BOOST_AUTO_TEST_CASE(replays_only_what_sounded_a_step_ago) {
  Biaxial model = made(tiny_models()[0].settings);
  set_bias(model.note_head, {0, 40}, 0.1);  // a replay wherever one may be
  const Roll prime = some_prime(model.settings, 3);
  for (const Roll* before : {static_cast<const Roll*>(nullptr), &prime}) {
    const Roll roll = compose(model, {.pieces = 1, .steps = 40, .prime = before, .keep_prime = true})[0];
    int64_t replays = 0;
    for (int64_t s = before ? before->steps() : 0; s < roll.steps(); ++s)
      for (int64_t n = 0; n < 5; ++n) {
        const bool may = roll.cell(s, n) > 0 && s > 0 && roll.cell(s - 1, n) > 0;
        BOOST_TEST(((roll.cell(s, n) & replay_bit) != 0) == may);
        replays += may;
      }
    BOOST_TEST(replays > 10);
  }
}

// What is composed is a MIDI file that reads back as composed: volumes are held constant here, as a note's is in MIDI.
BOOST_AUTO_TEST_CASE(volumes_are_clamped_and_a_file_reads_back_as_composed) {
  for (const auto& [bias, velocity] : std::vector<std::pair<double, int>>{{5.0, 127}, {-5.0, 1}, {0.5, 64}}) {
    Biaxial model = made(tiny_models()[0].settings);
    set_bias(model.volume_head, {bias}, 0);
    const Roll roll = compose(model, {.pieces = 1, .steps = 64})[0];
    for (int64_t s = 0; s < 64; ++s)
      for (int64_t n = 0; n < 5; ++n)
        if (roll.cell(s, n)) BOOST_TEST((roll.cell(s, n) & velocity_bits) == velocity);
    const std::vector<uint8_t> bytes = encode(roll);
    const Roll back = decode(parse_midi({bytes.begin(), bytes.end()}), {.lowest_note = 58, .notes = 5});
    BOOST_TEST(back.sounding_cells() == roll.sounding_cells());
    for (int64_t s = 0; s < back.steps(); ++s)
      for (int64_t n = 0; n < 5; ++n) BOOST_TEST(back.cell(s, n) == roll.cell(s, n), s << ", " << n);
  }
}

BOOST_AUTO_TEST_CASE(a_play_only_model_has_one_loudness_and_no_replays) {
  for (const TinyModel& tiny : tiny_models()) {
    if (tiny.settings.channels > 1) continue;
    const Roll roll = compose(made(tiny.settings), {.pieces = 1, .steps = 30, .style = some_mixture(tiny.settings)})[0];
    BOOST_TEST(roll.replays() == 0);
    BOOST_TEST(roll.sounding_cells() > 0);
    BOOST_TEST(std::abs(roll.volume_sum() - static_cast<double>(roll.sounding_cells()) * 80 / 127) < 1e-9);
  }
}

BOOST_AUTO_TEST_CASE(ends_when_each_step_says_so_and_refuses_the_impossible) {
  const Biaxial model = made(tiny_models()[0].settings);
  std::vector<int64_t> told;
  const ComposeSettings settings{.pieces = 1, .steps = 10};
  const std::vector<Roll> rolls =
      compose(model, settings, [&](int64_t done) { return told.push_back(done), done < 4; });
  BOOST_TEST(told == (std::vector<int64_t>{1, 2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(rolls[0].steps() == 4);
  const Roll whole = compose(model, settings)[0];
  for (int64_t n = 0; n < 5; ++n) BOOST_TEST(whole.cell(3, n) == rolls[0].cell(3, n));
  BOOST_TEST(message_of([&] { compose(model, {.pieces = 0, .steps = 10}); }) ==
             "compose: 0 pieces of 10 steps at temperature 1 with context 0");
  BOOST_TEST(
      message_of([&] { compose(model, {.pieces = 1, .steps = 10, .temperature = 0}); }).starts_with("compose: "));
  const ComposeSettings longer{.pieces = 1, .steps = max_steps - 3, .prime = &rolls[0], .keep_prime = true};
  BOOST_TEST(message_of([&] { compose(model, longer); }) ==
             "compose: 1048573 steps after 4 of the prime, expected at most 1048576 together");
}

BOOST_AUTO_TEST_CASE(a_context_is_no_longer_than_the_music) {
  for (const TinyModel& tiny : some_models()) {
    const Biaxial model = made(tiny.settings);
    const Roll prime = some_prime(tiny.settings, 3);
    const ComposeSettings whole{
        .pieces = 2, .steps = 4, .prime = &prime, .context = 7, .style = some_mixture(tiny.settings)};
    ComposeSettings beyond = whole;
    beyond.context = 1'000'000;
    BOOST_TEST((compose(model, whole) == compose(model, beyond)), tiny.name);
    BOOST_TEST(compose_bytes(model, whole) == compose_bytes(model, beyond));
  }
}

// A window that is read in several pieces, because it has more cells than are read at once.
BOOST_AUTO_TEST_CASE(a_long_context_is_read_in_pieces) {
  int models = 0;
  for (const TinyModel& tiny : tiny_models()) {
    if (tiny.name != "lstm_lstm" && tiny.name != "time again")
      continue;  // the second reads the chosen notes along time
    const Biaxial model = made(tiny.settings);
    const Roll prime = some_prime(model.settings, 90);
    const int64_t pieces = (1 << 16) / model.settings.notes / 32;  // 32 steps of them at once
    const ComposeSettings many{.pieces = pieces, .steps = 2, .prime = &prime, .context = 80};
    ComposeSettings few = many;
    few.pieces = 40;
    const std::vector<Roll> all = compose(model, many), alone = compose(model, few);
    for (size_t i = 0; i < alone.size(); ++i) BOOST_TEST((all[i] == alone[i]), tiny.name);
    ++models;
  }
  BOOST_TEST(models == 2);
}

BOOST_AUTO_TEST_CASE(memory_is_checked_before) {
  const Biaxial model = made(tiny_models()[0].settings);
  const auto bytes = [&](int64_t pieces, int64_t steps, int64_t context) {
    return compose_bytes(model, {.pieces = pieces, .steps = steps, .context = context});
  };
  BOOST_TEST(bytes(4, 512, 0) < 1e8);
  BOOST_TEST(bytes(1'000'000, 512, 0) > 1e6 * 512 * static_cast<double>(model.settings.notes) * 3 * 8);
  BOOST_TEST(bytes(4, 100'000, 100'000) > 2 * bytes(4, 100'000, 0));
  const ComposeSettings far{.pieces = 1'000'000, .steps = max_steps};
  const std::string message = message_of([&] { compose(model, far); });
  BOOST_TEST(message.starts_with("compose: 1000000 pieces of 1048576 steps with a context of 0 steps take "), message);
  BOOST_TEST(message.find(" of memory, and ") != std::string::npos, message);
  Constraint low{.notes = model.settings.notes, .always_silent = std::vector<bool>(model.settings.notes)};
  ComposeSettings particles{.pieces = 2, .steps = 512, .constraint = &low, .particles = 500'000};
  BOOST_TEST(compose_bytes(model, particles) == bytes(2, 512, 0));  // nothing is fixed
  low.always_silent[0] = true;
  BOOST_TEST(compose_bytes(model, particles) >= bytes(1'000'000, 512, 0));
  const Biaxial looks_up = made(tiny_models_with_match()[0].settings);  // a table of all steps is copied, too
  particles.particles = 32;
  BOOST_TEST(compose_bytes(looks_up, particles) > compose_bytes(looks_up, {.pieces = 64, .steps = 512}));
  particles.particles = 500'000;
  particles.steps = max_steps;
  BOOST_TEST(message_of([&] {
               compose(model, particles);
             }).starts_with("compose: 2 pieces of 500000 particles and 1048576 steps with a context of 0 steps "));
}

BOOST_AUTO_TEST_SUITE_END()
