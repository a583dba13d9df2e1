#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "data/matches.h"
#include "tests/support/fewer.h"
#include "tests/support/models.h"

// Whole models: their gradients, and which outputs depend on which inputs (MODEL.md "Orderings"), found by changing one
// number at a time.
namespace {

using namespace poph;
using namespace poph::test;

// Every output, note by note: [T][B][N][notes' logits and the volume].
struct Outputs {
  std::vector<double> values;
  int64_t steps, batch, notes, width;
  bool differ(const Outputs& other, int64_t t, int64_t b, int64_t n) const {
    const auto at = values.begin() + ((t * batch + b) * notes + n) * width;
    return !std::equal(at, at + width, other.values.begin() + (at - values.begin()));
  }
};

Outputs run(const Biaxial& model, const Batch& music) {
  const NoGrad no_grad;
  ForwardContext evaluation;
  const Prediction prediction = model(music, evaluation);
  const Tensor all = prediction.volume.defined() ? concat_last({prediction.notes.value(), prediction.volume.value()})
                                                 : prediction.notes.value();
  const Shape& s = all.shape();
  return {all.values(), s[0], s[1], s[2], s[3]};
}

// The tensor with one cell of batch entry 0 changed, in every channel.
Tensor changed(const Tensor& roll, int64_t t, int64_t n) {
  std::vector<double> values = roll.values();
  const Shape& s = roll.shape();
  const int64_t cell = (t * s[1] * s[2] + n) * s[3];
  for (int64_t c = 0; c < s[3]; ++c) values[cell + c] = 1 - values[cell + c];
  return Tensor::from(values, s, roll.dtype());
}

struct Found {
  bool leaks = false;        // a target reaches its own note's or an earlier note's logits at its step
  bool feeds = false;        // a target reaches a later note's logits at its step
  bool feeds_later = false;  // .. or any at a later step
  bool earlier = false;      // a target or an input reaches an earlier step
  bool elsewhere = false;    // .. or another piece of the batch
  bool input = false;        // an input reaches its own step's logits
};

Found dependences(const Biaxial& model, const Batch& music) {
  Found found;
  const Outputs before = run(model, music);
  const auto look = [&](int64_t t, const Outputs& after, auto at_this_step) {
    for (int64_t step = 0; step < before.steps; ++step)
      for (int64_t b = 0; b < before.batch; ++b)
        for (int64_t n = 0; n < before.notes; ++n) {
          if (!after.differ(before, step, b, n)) continue;
          if (b > 0)
            found.elsewhere = true;
          else if (step < t)
            found.earlier = true;
          else
            at_this_step(step, n);
        }
  };
  for (int64_t t = 0; t < before.steps; ++t)
    for (int64_t n = 0; n < before.notes; ++n) {
      Batch other = music;
      other.target = changed(music.target, t, n);
      look(t, run(model, other), [&](int64_t step, int64_t seen) {
        const bool later_note = model.settings.descending ? seen < n : seen > n;
        (step > t ? found.feeds_later : later_note ? found.feeds : found.leaks) = true;
      });
      other = music;
      other.input = changed(music.input, t, n);
      look(t, run(model, other), [&](int64_t step, int64_t) { found.input = found.input || step == t; });
    }
  return found;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(model, OneThread)

BOOST_DATA_TEST_CASE(gradients, boost::unit_test::data::make(tiny_models()), tiny) {
  if (tiny.settings.notes == 1) return;  // the queries and keys of one note have no gradient, only roundoff
  Biaxial model = made(tiny.settings);
  const Batch music = random_music(tiny.settings, 2, 2);
  const LossFunction loss({}, tiny.settings, Dtype::f64, Device::cpu);
  const Vars parameters = parameters_of(model);
  for (bool training : {false, true}) {
    const auto outputs = [&] {
      ForwardContext context{.training = training, .seed = 5, .step = 9};
      const Prediction prediction = model(music, context);
      Vars all{prediction.notes, loss(prediction, music)[Loss::total]};
      if (prediction.volume.defined()) all.push_back(prediction.volume);
      return all;
    };
    for (const Var& parameter : some_of(parameters))
      BOOST_TEST(best_gradient_error(outputs, {parameter}) < gradient_limit,
                 (training ? "with" : "without") << " dropout, parameter of shape " << parameter.shape());
  }
}

// Bit for bit: an output does not move by one unit in the last place where it must not depend on an input.
BOOST_DATA_TEST_CASE(sees_what_it_may_and_nothing_else, boost::unit_test::data::make(tiny_models()), tiny) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (int count : {1, 2}) {
      const Threads threads(count);
      const Biaxial model = made(tiny.settings, dtype);
      const Found found = dependences(model, random_music(tiny.settings, 3, 2, dtype));
      BOOST_TEST_CONTEXT(dtype << ", " << count << " threads") {
        BOOST_TEST(!found.earlier);
        BOOST_TEST(!found.elsewhere);
        BOOST_TEST(found.input);
        BOOST_TEST(found.feeds == (tiny.conditioned && tiny.settings.notes > 1));
        BOOST_TEST(found.leaks == !tiny.autoregressive);
        BOOST_TEST(model.autoregressive() == tiny.autoregressive);
        BOOST_TEST(model.conditioned() == tiny.conditioned);
        if (!tiny.conditioned) BOOST_TEST(!found.feeds_later);
      }
    }
}

// For all lists of up to three blocks, autoregressive() and conditioned() say what a change of the targets shows.
BOOST_AUTO_TEST_CASE(every_list_of_three_blocks_is_judged_rightly) {
  const Threads threads(1);
  std::vector<BlockSettings> kinds{lstm_block(BlockKind::lstm_time), lstm_block(BlockKind::lstm_notes)};
  for (BlockKind kind : {BlockKind::attention_notes, BlockKind::attention_time_notes})
    for (Mask mask : {Mask::automatic, Mask::none}) {
      kinds.push_back(attention_block(kind, mask));
      kinds.back().feed_forward = false;
    }
  const auto base = static_cast<int64_t>(kinds.size());
  int64_t leaky = 0, conditioned = 0, lists = 0;
  for (int64_t length = 1; length <= 3; ++length)
    for (int64_t code = 0; code < static_cast<int64_t>(std::pow(base, length)); ++code) {
      std::vector<BlockSettings> list;
      std::string name;
      for (int64_t i = 0, rest = code; i < length; ++i, rest /= base) {
        list.push_back(kinds[rest % base]);
        name += joined(' ', rest % base);
      }
      const Biaxial model = made(tiny_settings(list, 3));
      const Found found = dependences(model, random_music(model.settings, 2, 1));
      BOOST_TEST(!found.earlier, name);
      BOOST_TEST(found.leaks == !model.autoregressive(), name);
      BOOST_TEST(found.feeds == model.conditioned(), name);
      leaky += found.leaks, conditioned += found.feeds, ++lists;
    }
  BOOST_TEST(lists == 6 + 36 + 216);
  // lstm_time first: the other blocks are free; or second, after another kind. Of these, those without an open
  // attention are sound.
  BOOST_TEST(conditioned == 6 + 36 + 5 * 6);
  BOOST_TEST(leaky == 2 + (36 - 16) + 5 * 2);
}

// Behind the first lstm_time and nowhere else, as the widths of the blocks' inputs show.
BOOST_AUTO_TEST_CASE(the_chosen_notes_enter_once) {
  using enum BlockKind;
  const int64_t features = 1 + 12 + 1 + 2 + 16;
  struct Row {
    std::vector<BlockKind> blocks;
    bool condition;
    std::vector<int64_t> inputs;  // of each block
  };
  for (const Row& row :
       std::vector<Row>{{{lstm_time, lstm_time, lstm_notes}, true, {features, 3 + 3, 3}},
                        {{lstm_time, lstm_notes, lstm_time, lstm_notes}, true, {features, 3 + 3, 3, 3}},
                        {{attention_notes, lstm_time, attention_notes}, true, {features, features, 3 + 3}},
                        {{lstm_notes, lstm_time, lstm_notes}, false, {features, 3, 3}},
                        {{lstm_notes, lstm_time}, true, {features, 3}},
                        {{lstm_notes, lstm_notes}, true, {features, 3}}}) {
    ModelSettings settings = tiny_settings({});
    for (BlockKind kind : row.blocks)
      settings.blocks.push_back(kind == attention_notes ? attention_block(kind) : lstm_block(kind));
    settings.condition = row.condition;
    Biaxial model = made(settings);
    std::vector<int64_t> found;
    model.each_parameter([&](const std::string& name, Var& parameter) {
      if (name.ends_with("weight_ih") || name.ends_with("query.weight")) found.push_back(parameter.shape().last());
    });
    BOOST_TEST(found == row.inputs, boost::test_tools::per_element());
  }
}

// With the note features, and at the conditioning point once more, whether chosen notes enter there or not.
BOOST_AUTO_TEST_CASE(match_features_enter_twice) {
  using enum BlockKind;
  const int64_t features = 1 + 12 + 1 + 2 + 16 + 8;
  for (const auto& [blocks, condition, inputs] :
       std::vector<std::tuple<std::vector<BlockKind>, bool, std::vector<int64_t>>>{
           {{lstm_notes, lstm_time, lstm_notes}, true, {features, 3, 3 + 8 + 3}},
           {{lstm_notes, lstm_time, lstm_notes}, false, {features, 3, 3 + 8}},
           {{lstm_time, lstm_notes, lstm_notes}, false, {features, 3 + 8, 3}},
           {{lstm_notes, lstm_time}, true, {features, 3}},
           {{lstm_notes, lstm_notes}, true, {features, 3}}}) {
    ModelSettings settings = tiny_settings({});
    settings.match = true;
    for (BlockKind kind : blocks) settings.blocks.push_back(lstm_block(kind));
    settings.condition = condition;
    Biaxial model = made(settings);
    BOOST_TEST(model.feature_width() == features);
    std::vector<int64_t> found;
    model.each_parameter([&](const std::string& name, Var& parameter) {
      if (name.ends_with("weight_ih")) found.push_back(parameter.shape().last());
    });
    BOOST_TEST(found == inputs, boost::test_tools::per_element());
  }
}

// With the replays and volumes a function of the plays, P(chord) is a product over notes, each given those before it.
BOOST_DATA_TEST_CASE(probabilities_of_all_chords_sum_to_one, boost::unit_test::data::make(tiny_models()), tiny) {
  ModelSettings settings = tiny.settings;
  settings.notes = 3;
  const Biaxial model = made(settings);
  const int64_t steps = 3, channels = settings.channels;
  Batch music = random_music(settings, steps, 1);
  double total = 0;
  for (int chord = 0; chord < 8; ++chord) {
    std::vector<double> target = music.target.values();
    for (int64_t n = 0; n < 3; ++n) {
      const double play = chord >> n & 1;
      double* cell = &target[((steps - 1) * 3 + n) * channels];
      cell[0] = play;
      if (channels > 1) cell[1] = 0, cell[2] = 0.6 * play;
    }
    music.target = Tensor::from(target, music.target.shape(), Dtype::f64);
    const Outputs outputs = run(model, music);
    double probability = 1;
    for (int64_t n = 0; n < 3; ++n) {
      const double p = 1 / (1 + std::exp(-outputs.values[((steps - 1) * 3 + n) * outputs.width]));
      probability *= chord >> n & 1 ? p : 1 - p;
    }
    total += probability;
  }
  if (tiny.autoregressive)
    BOOST_TEST(std::abs(total - 1) < 1e-13);
  else
    BOOST_TEST(std::abs(total - 1) > 1e-6);
}

// MODEL.md "Note features" in plain loops: position, pitch class, count of its pitch class, convolution, beat,
// counts of the other pitch classes.
BOOST_AUTO_TEST_CASE(note_features_are_in_the_order_of_the_specification) {
  for (bool descending : {false, true}) {
    ModelSettings settings = tiny_settings({lstm_block(BlockKind::lstm_time)}, 14);
    settings.descending = descending;
    settings.relative_classes = true;
    const Biaxial model = made(settings);
    const Batch music = random_music(settings, 2, 2);
    ForwardContext evaluation;
    const auto found = model.features(music.input, music.beat, {}, evaluation).value().values(),
               roll = music.input.values(), beat = music.beat.values(),
               conv = tanh(model.octave_conv(Var(music.input)).value()).values();
    std::vector<double> expected;
    for (int64_t group = 0; group < 4; ++group)
      for (int64_t position = 0; position < 14; ++position) {
        const int64_t n = descending ? 13 - position : position;
        expected.push_back(n / 14.0);
        for (int64_t pitch_class = 0; pitch_class < 12; ++pitch_class) expected.push_back((58 + n) % 12 == pitch_class);
        const auto count_above = [&](int64_t semitones) {
          double count = 0;
          for (int64_t other = 0; other < 14; ++other)
            if ((other - n - semitones) % 12 == 0) count += roll[(group * 14 + other) * 3];
          return count;
        };
        expected.push_back(count_above(0));
        for (int64_t unit = 0; unit < 2; ++unit) expected.push_back(conv[(group * 14 + n) * 2 + unit]);
        expected.insert(expected.end(), beat.begin() + group * 16, beat.begin() + (group + 1) * 16);
        for (int64_t semitones = 1; semitones < 12; ++semitones) expected.push_back(count_above(semitones));
      }
    BOOST_TEST(relative_difference(found, expected) < 1e-15);
  }
}

// A mask depends on nothing but seed, step, call site and element. Roll, beat, convolution and chosen notes have masks
// of their own.
BOOST_AUTO_TEST_CASE(dropout_is_repeatable_and_off_in_evaluation) {
  const ModelSettings settings = tiny_models()[3].settings;
  const Biaxial model = made(settings, Dtype::f32);
  const Batch music = random_music(settings, 3, 2, Dtype::f32);
  const auto logits = [&](ForwardContext context) { return model(music, context).notes.value(); };
  const Tensor once = logits({.training = true, .seed = 5, .step = 9});
  {
    const Threads threads(2);
    BOOST_TEST(same_bits(once, logits({.training = true, .seed = 5, .step = 9})));
  }
  BOOST_TEST(!same_bits(once, logits({.training = true, .seed = 6, .step = 9})));
  BOOST_TEST(!same_bits(once, logits({.training = true, .seed = 5, .step = 10})));
  BOOST_TEST(same_bits(logits({.seed = 5, .step = 9}), logits({.seed = 6, .step = 10})));
  ForwardContext counted{.training = true}, evaluation;
  model(music, counted);
  model(music, evaluation);
  // inputs and convolution; two attentions' two; two LSTM layers twice
  BOOST_TEST(counted.next_site == 4u + 2 * 2 + 2 + 2);
  BOOST_TEST(evaluation.next_site == counted.next_site);
}

// Both of a step's matches, at both places, or none: what is left is as it was.
BOOST_AUTO_TEST_CASE(match_dropout_hides_whole_steps) {
  ModelSettings settings = tiny_settings({lstm_block(BlockKind::lstm_time), lstm_block(BlockKind::lstm_notes)});
  settings.match = true;
  settings.match_dropout = 0.25;
  const Biaxial model = made(settings);
  const Batch music = random_music(settings, 100, 20);
  ForwardContext context{.training = true, .seed = 5, .step = 9}, evaluation;
  const std::vector<double> all = model.known_match(music, Dtype::f64, evaluation).values(),
                            found = model.known_match(music, Dtype::f64, context).values();
  const int64_t size = settings.notes * settings.match_width();
  int64_t hidden = 0;
  for (int64_t step = 0; step < 2000; ++step) {
    const auto from = all.begin() + step * size, here = found.begin() + step * size;
    const bool gone = std::count(here, here + size, 0.0) == size;
    BOOST_TEST((gone || std::equal(here, here + size, from)));
    hidden += gone;
  }
  BOOST_TEST(std::abs(static_cast<double>(hidden) - 500) < 100);  // five deviations

  // The same steps at both places: a model reads the features that are left as it would read zeros in their stead.
  settings.input_dropout = settings.dropout = 0;
  const Biaxial undropped = made(settings);
  ForwardContext again{.training = true, .seed = 5, .step = 9, .next_site = 0};
  Batch zeroed = music;
  {
    ForwardContext keys{.training = true, .seed = 5, .step = 9, .next_site = 2};  // after the roll's and the beat's
    zeroed.match = undropped.in_note_order(undropped.known_match(music, Dtype::f64, keys));
  }
  BOOST_TEST(same_bits(undropped(music, again).notes.value(), undropped(zeroed, evaluation).notes.value()));

  // Without match no key is drawn for it.
  settings.match = false;
  ForwardContext without{.training = true}, with{.training = true};
  made(settings)(music, without);
  undropped(music, with);
  BOOST_TEST(with.next_site == without.next_site + 1);
  Batch bare = music;
  bare.match = {};
  BOOST_TEST(message_of([&] { run(model, bare); }) ==
             "model: a batch without match features, expected 8 for each note");
}

BOOST_AUTO_TEST_SUITE_END()
