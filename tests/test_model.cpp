#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "experiments/evaluator.h"
#include "tests/models.h"

// Whole models: their gradients, and what may depend on what (SPEC 5), found by changing one number at a time.
namespace {

using namespace poph;
using namespace poph::test;

Biaxial made(const ModelSettings& settings, Dtype dtype = Dtype::f64) {
  Biaxial model(settings, 3, dtype, Device::cpu);
  scramble(model);
  return model;
}

// Every output, note by note: [T][B][N][notes' logits and the volume].
struct Outputs {
  std::vector<double> values;
  int64_t steps, batch, notes, width;
  bool differ(const Outputs& other, int64_t t, int64_t b, int64_t n) const {
    const auto at = values.begin() + ((t * batch + b) * notes + n) * width;
    return !std::equal(at, at + width, other.values.begin() + (at - values.begin()));
  }
};

Outputs run(const Biaxial& model, const Music& music) {
  const NoGrad no_grad;
  Pass evaluation;
  const Prediction prediction = model(music.input, music.target, music.beat, evaluation);
  const Tensor all =
      prediction.volume.defined() ? concat_last({prediction.notes.value(), prediction.volume.value()}) : prediction.notes.value();
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

Found dependences(const Biaxial& model, const Music& music) {
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
      Music other = music;
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
  const Music music = random_music(tiny.settings, 2, 2);
  const LossFunction loss({}, tiny.settings, Dtype::f64, Device::cpu);
  const Vars start = parameters_of(model);
  Vars leaves;
  for (const Var& parameter : start) leaves.emplace_back(Tensor::zeros(parameter.shape(), Dtype::f64), true);
  for (bool training : {false, true}) {
    double factor = 1;
    const auto outputs = [&] {
      size_t next = 0;
      model.each_parameter([&](const std::string&, Var& parameter) {
        parameter = add(start[next], scale(leaves[next], factor));
        ++next;
      });
      Pass pass{.training = training, .seed = 5, .step = 9};
      const Prediction prediction = model(music.input, music.target, music.beat, pass);
      Vars all{prediction.notes, loss(prediction, music.target).total};
      if (prediction.volume.defined()) all.push_back(prediction.volume);
      return all;
    };
    // A whole model bends more than one op, here sharply and there hardly: whichever length of the difference suits a parameter.
    for (const Var& leaf : leaves) {
      double error = 1;
      for (double length : {0.3, 0.1, 1.0, 0.03}) {
        factor = length;
        if (error >= gradient_limit) error = std::min(error, gradient_error(outputs, {leaf}, 1));
      }
      BOOST_TEST(error < gradient_limit, (training ? "with" : "without") << " dropout, parameter " << &leaf - leaves.data());
    }
  }
}

// Bit for bit: nothing that must not be seen moves an output by even one unit in the last place.
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

// All lists of up to three blocks: the mark that is derived from the list is what changing the targets shows.
BOOST_AUTO_TEST_CASE(every_list_of_three_blocks_is_marked_rightly) {
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
  // lstm_time first: the other blocks are free; or second, after another kind. Of these, those without an open attention are
  // sound.
  BOOST_TEST(conditioned == 6 + 36 + 5 * 6);
  BOOST_TEST(leaky == 2 + (36 - 16) + 5 * 2);
}

// Behind the first lstm_time and nowhere else, as the widths of what the blocks read show.
BOOST_AUTO_TEST_CASE(the_chosen_notes_enter_once) {
  using enum BlockKind;
  const int64_t features = 1 + 12 + 1 + 2 + 16;
  struct Row {
    std::vector<BlockKind> blocks;
    bool condition;
    std::vector<int64_t> inputs;  // of each block
  };
  for (const Row& row : std::vector<Row>{{{lstm_time, lstm_time, lstm_notes}, true, {features, 3 + 3, 3}},
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

// With the replays and volumes a function of the plays, P(chord) is a product over notes, each given those before it.
BOOST_DATA_TEST_CASE(probabilities_of_all_chords_sum_to_one, boost::unit_test::data::make(tiny_models()), tiny) {
  ModelSettings settings = tiny.settings;
  settings.notes = 3;
  const Biaxial model = made(settings);
  const int64_t steps = 3, channels = settings.channels;
  Music music = random_music(settings, steps, 1);
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

BOOST_AUTO_TEST_CASE(likelihood_is_the_product_of_the_probabilities) {
  for (const TinyModel& tiny : tiny_models()) {
    const Biaxial model = made(tiny.settings);
    const int64_t notes = tiny.settings.notes;
    const bool quadratic = std::any_of(tiny.settings.blocks.begin(), tiny.settings.blocks.end(),
                                       [](const BlockSettings& block) { return block.kind == BlockKind::attention_time_notes; });
    std::vector<Piece> pieces;
    for (int64_t steps : {1, 37, quadratic ? 50 : 8192 / static_cast<int>(notes) + 30}) {  // the last is read in two chunks
      auto roll = std::make_shared<Roll>(tiny.settings.lowest_note, notes);
      const auto numbers = random_input({steps, notes}, 60 + static_cast<uint32_t>(steps)).values();
      std::vector<Cell> cells(notes);
      for (int64_t t = 0; t < steps; ++t) {
        for (int64_t n = 0; n < notes; ++n) cells[n] = numbers[t * notes + n] > 0.5 ? 64 : 0;
        roll->append(cells);
      }
      pieces.push_back({"piece", roll});
    }
    const auto likelihood = [&] { return *log_likelihood(model, pieces, 4); };
    if (!tiny.autoregressive) {
      BOOST_TEST(message_of(likelihood) == "log-likelihood: this model sees the notes it predicts, so it has none");
      continue;
    }
    double total = 0, first_steps = 0, means = 0;
    int64_t steps = 0;
    for (const Piece& piece : pieces) {
      const int64_t length = piece.roll->steps();
      const Batch batch = piece_batch(*piece.roll, 0, length, tiny.settings.channels, Dtype::f64);
      const Outputs outputs = run(model, {batch.input, batch.target, batch.beat});
      double of_piece = 0;
      for (int64_t t = 0; t < length; ++t)
        for (int64_t n = 0; n < notes; ++n) {
          const double p = 1 / (1 + std::exp(-outputs.values[(t * notes + n) * outputs.width]));
          const double nats = std::log(piece.roll->cell(t, n) ? p : 1 - p);
          of_piece += nats;
          if (t == 0) first_steps += nats;
        }
      total += of_piece, means += of_piece / static_cast<double>(length), steps += length;
    }
    const LogLikelihood found = likelihood();
    const auto near = [](double a, double b) { return std::abs(a - b) < 1e-11 * std::abs(b); };
    const auto count = static_cast<double>(steps);
    BOOST_TEST_CONTEXT(tiny.name) {
      BOOST_TEST(found.steps == steps);
      BOOST_TEST(near(found.nats_per_step, total / count));
      BOOST_TEST(near(found.nats_per_step_without_first, (total - first_steps) / (count - 3)));
      BOOST_TEST(near(found.nats_per_step_mean_of_pieces, means / 3));
      BOOST_TEST(near(found.nats_per_quarter, total / count * 4));
    }
  }
}

// SPEC 3 in plain loops: position, pitch class, count of its pitch class, convolution, beat.
BOOST_AUTO_TEST_CASE(note_features_are_in_the_order_of_the_specification) {
  for (bool descending : {false, true}) {
    ModelSettings settings = tiny_settings({lstm_block(BlockKind::lstm_time)}, 14);
    settings.descending = descending;
    const Biaxial model = made(settings);
    const Music music = random_music(settings, 2, 2);
    Pass evaluation;
    const auto found = model.features(music.input, music.beat, evaluation).value().values(), roll = music.input.values(),
               beat = music.beat.values(), conv = tanh(model.octave_conv(Var(music.input)).value()).values();
    std::vector<double> expected;
    for (int64_t group = 0; group < 4; ++group)
      for (int64_t position = 0; position < 14; ++position) {
        const int64_t n = descending ? 13 - position : position;
        expected.push_back(n / 14.0);
        for (int64_t pitch_class = 0; pitch_class < 12; ++pitch_class) expected.push_back((58 + n) % 12 == pitch_class);
        double count = 0;
        for (int64_t other = 0; other < 14; ++other)
          if ((other - n) % 12 == 0) count += roll[(group * 14 + other) * 3];
        expected.push_back(count);
        for (int64_t unit = 0; unit < 2; ++unit) expected.push_back(conv[(group * 14 + n) * 2 + unit]);
        expected.insert(expected.end(), beat.begin() + group * 16, beat.begin() + (group + 1) * 16);
      }
    BOOST_TEST(relative_difference(found, expected) < 1e-15);
  }
}

// A mask depends on nothing but seed, step, place and element; roll, beat, convolution and chosen notes have masks of their own.
BOOST_AUTO_TEST_CASE(dropout_is_repeatable_and_off_in_evaluation) {
  const ModelSettings settings = tiny_models()[3].settings;
  const Biaxial model = made(settings, Dtype::f32);
  const Music music = random_music(settings, 3, 2, Dtype::f32);
  const auto logits = [&](Pass pass) { return model(music.input, music.target, music.beat, pass).notes.value(); };
  const Tensor once = logits({.training = true, .seed = 5, .step = 9});
  {
    const Threads threads(2);
    BOOST_TEST(same_bits(once, logits({.training = true, .seed = 5, .step = 9})));
  }
  BOOST_TEST(!same_bits(once, logits({.training = true, .seed = 6, .step = 9})));
  BOOST_TEST(!same_bits(once, logits({.training = true, .seed = 5, .step = 10})));
  BOOST_TEST(same_bits(logits({.seed = 5, .step = 9}), logits({.seed = 6, .step = 10})));
  Pass counted{.training = true}, evaluation;
  model(music.input, music.target, music.beat, counted);
  model(music.input, music.target, music.beat, evaluation);
  BOOST_TEST(counted.next_site == 4u + 2 * 2 + 2 + 2);  // inputs and convolution; two attentions' two; two LSTM layers twice
  BOOST_TEST(evaluation.next_site == counted.next_site);
}

BOOST_AUTO_TEST_SUITE_END()
