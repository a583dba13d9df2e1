#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "nn/stream.h"
#include "tests/models.h"

// The step form of every model against its whole-sequence form.
namespace {

using namespace poph;
using namespace poph::test;

constexpr int64_t steps = 7, pieces = 3;

struct Logits {
  Tensor notes, volume;
};

Logits whole(const Biaxial& model, const Music& music) {
  const NoGrad no_grad;
  Pass evaluation;
  const Prediction p = model(music.input, music.target, music.beat, evaluation);
  return {p.notes.value(), p.volume.defined() ? p.volume.value() : p.notes.value()};
}

Music part(const Music& music, int64_t first, int64_t count) {
  return {music.input.slice(first, count), music.target.slice(first, count), music.beat.slice(first, count)};
}

// The target's cell at a place in note order: [1,B,1,C].
Tensor cell(const Biaxial& model, const Tensor& target, int64_t position) {
  const Shape& s = target.shape();
  const int64_t note = model.settings.descending ? s[2] - 1 - position : position;
  return slice_last(target.reshape({s[1], s[2] * s[3]}), note * s[3], s[3]).reshape({1, s[1], 1, s[3]});
}

// One step of composition that chooses what the target says: the logits of every note, ascending.
Logits composed(BiaxialStream& stream, const Biaxial& model, const Music& one) {
  const int64_t notes = model.settings.notes;
  Tensors logits(notes), volumes(notes);
  stream.begin_step(stream.prepare(one.input, one.beat));
  for (int64_t position = 0; position < notes; ++position) {
    const Prediction p = stream.next_note(position, position ? cell(model, one.target, position - 1) : Tensor());
    const int64_t note = model.settings.descending ? notes - 1 - position : position;
    logits[note] = p.notes.value();
    volumes[note] = p.volume.defined() ? p.volume.value() : p.notes.value();
  }
  stream.end_step();
  const auto stacked = [&](const Tensors& parts) {
    const int64_t width = parts[0].shape().last();
    return concat_last(parts).reshape({1, pieces, notes, width});
  };
  return {stacked(logits), stacked(volumes)};
}

struct Check {
  const Tensor expected;
  double worst = 0;
  void operator()(const Tensor& found, int64_t first) {
    worst = std::max(worst, relative_difference(found, expected.slice(first, found.shape()[0])));
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(stream, OneThread)

BOOST_DATA_TEST_CASE(following_carries_what_reading_does, boost::unit_test::data::make(tiny_models()), tiny) {
  Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  scramble(model);
  const Music music = random_music(tiny.settings, steps, pieces, Dtype::f64), before = part(music, 0, 4),
              after = part(music, 4, 3);
  const Logits expected = whole(model, music);
  BiaxialStream stream(model);
  for (int round = 0; round < 2; ++round) {
    stream.reset();
    stream.follow(stream.prepare(before.input, before.beat), before.target);
    Check notes{expected.notes};
    notes(stream.read(after.input, after.target, after.beat).notes.value(), 4);
    BOOST_TEST(notes.worst < limit_of(Dtype::f64));
  }
}

BOOST_DATA_TEST_CASE(reading_in_chunks_gives_the_whole_sequences_logits, boost::unit_test::data::make(tiny_models()), tiny) {
  for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Biaxial model(tiny.settings, 3, dtype, Device::cpu);
    scramble(model);
    const Music music = random_music(tiny.settings, steps, pieces, dtype);
    const Logits expected = whole(model, music);
    BiaxialStream stream(model);
    for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{7}, {1, 1, 1, 1, 1, 1, 1}, {3, 1, 2, 1}, {2, 5}}) {
      Check notes{expected.notes}, volume{expected.volume};
      int64_t first = 0;
      stream.reset();
      for (int64_t length : lengths) {
        const Music some = part(music, first, length);
        const Prediction p = stream.read(some.input, some.target, some.beat);
        notes(p.notes.value(), first);
        volume(p.volume.defined() ? p.volume.value() : p.notes.value(), first);
        first += length;
      }
      BOOST_TEST(notes.worst < limit_of(dtype), dtype << ", " << lengths.size() << " chunks");
      BOOST_TEST(volume.worst < limit_of(dtype), dtype << ", " << lengths.size() << " chunks");
    }
  }
}

// `r` is a step that is read, `c` one that is composed. What is chosen is fed as the target, so both say the same.
BOOST_DATA_TEST_CASE(composing_note_by_note_gives_the_whole_sequences_logits, boost::unit_test::data::make(tiny_models()), tiny) {
  for (Dtype dtype : {Dtype::f64, Dtype::f32})
    for (const std::string plan : {"ccccccc", "rrcccrc", "crrccrc"}) {
      Biaxial model(tiny.settings, 3, dtype, Device::cpu);
      scramble(model);
      const Music music = random_music(tiny.settings, steps, pieces, dtype);
      const Logits expected = whole(model, music);
      Check notes{expected.notes}, volume{expected.volume};
      BiaxialStream stream(model);
      for (int64_t t = 0; t < steps; ++t) {
        const Music one = part(music, t, 1);
        if (plan[t] == 'r') {
          notes(stream.read(one.input, one.target, one.beat).notes.value(), t);
          continue;
        }
        const Logits found = composed(stream, model, one);
        if (!tiny.autoregressive) continue;  // see the next test
        notes(found.notes, t);
        volume(found.volume, t);
      }
      BOOST_TEST(notes.worst < limit_of(dtype), dtype << ", " << plan);
      BOOST_TEST(volume.worst < limit_of(dtype), dtype << ", " << plan);
    }
}

// While it composes, an open attention sees zeros for the notes that are not chosen yet.
BOOST_AUTO_TEST_CASE(a_leaky_model_composes_with_zeros_for_what_is_not_chosen_yet) {
  for (const TinyModel& tiny : tiny_models()) {
    if (tiny.autoregressive) continue;
    Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
    scramble(model);
    const int64_t notes = tiny.settings.notes, channels = tiny.settings.channels;
    const Music music = random_music(tiny.settings, steps, pieces);
    BiaxialStream stream(model);
    for (int64_t t = 0; t < steps; ++t) {
      const Logits found = composed(stream, model, part(music, t, 1));
      for (int64_t position = 0; position < notes; ++position) {
        const int64_t note = tiny.settings.descending ? notes - 1 - position : position;
        Music known = part(music, 0, t + 1);
        std::vector<double> target = known.target.values();
        for (int64_t b = 0; b < pieces; ++b)
          for (int64_t n = 0; n < notes; ++n)
            if (tiny.settings.descending ? n <= note : n >= note)
              std::fill_n(target.begin() + ((t * pieces + b) * notes + n) * channels, channels, 0.0);
        known.target = Tensor::from(target, known.target.shape(), Dtype::f64);
        const auto of_note = [&](const Tensor& x) {
          return slice_last(x.reshape({pieces, notes * x.shape().last()}), note * x.shape().last(), x.shape().last());
        };
        const Logits expected = whole(model, known);
        BOOST_TEST(relative_difference(of_note(found.notes), of_note(expected.notes.slice(t, 1))) < 1e-12,
                   tiny.name << ", " << t << ", " << note);
        BOOST_TEST(relative_difference(of_note(found.volume), of_note(expected.volume.slice(t, 1))) < 1e-12, tiny.name);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_reset_forgets_and_nothing_is_recorded) {
  Biaxial model(tiny_models()[5].settings, 3, Dtype::f64, Device::cpu);
  const Music music = random_music(model.settings, steps, pieces);
  BiaxialStream stream(model);
  const Prediction first = stream.read(music.input, music.target, music.beat);
  BOOST_TEST(!first.notes.wants_gradient());
  BOOST_TEST(!same_bits(stream.read(music.input, music.target, music.beat).notes.value(), first.notes.value()));
  stream.reset();
  BOOST_TEST(same_bits(stream.read(music.input, music.target, music.beat).notes.value(), first.notes.value()));
}

BOOST_AUTO_TEST_SUITE_END()
