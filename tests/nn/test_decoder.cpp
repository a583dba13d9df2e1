#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "nn/decoder.h"
#include "tests/support/models.h"

// The step form of every model against its whole-sequence form.
namespace {

using namespace poph;
using namespace poph::test;

constexpr int64_t steps = 7, pieces = 3;

struct Logits {
  Tensor notes, volume;
};

Logits whole(const Biaxial& model, const Batch& music) {
  const NoGrad no_grad;
  ForwardContext evaluation;
  const Prediction p = model(music, evaluation);
  return {p.notes.value(), p.volume.defined() ? p.volume.value() : p.notes.value()};
}

Batch part(const Batch& music, int64_t first, int64_t count) {
  Batch some = music;
  some.each([&](Tensor& tensor) { tensor = tensor.slice(first, count); });
  return some;
}

// The target's cell at a position of the note order: [1,B,1,C].
Tensor cell(const Biaxial& model, const Tensor& target, int64_t position) {
  const Shape& s = target.shape();
  const int64_t note = model.settings.descending ? s[2] - 1 - position : position;
  return slice_last(target.reshape({s[1], s[2] * s[3]}), note * s[3], s[3]).reshape({1, s[1], 1, s[3]});
}

// The logits of every note, ascending, of one step of composition that chooses the target.
Logits composed(BiaxialDecoder& decoder, const Biaxial& model, const Batch& one) {
  const int64_t notes = model.settings.notes;
  Tensors logits(notes), volumes(notes);
  decoder.begin_step(decoder.prepare(one), one.match, one.style);
  for (int64_t position = 0; position < notes; ++position) {
    const Prediction p = decoder.next_note(position, position ? cell(model, one.target, position - 1) : Tensor());
    const int64_t note = model.settings.descending ? notes - 1 - position : position;
    logits[note] = p.notes.value();
    volumes[note] = p.volume.defined() ? p.volume.value() : p.notes.value();
  }
  decoder.end_step();
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

BOOST_FIXTURE_TEST_SUITE(decoder, OneThread)

BOOST_DATA_TEST_CASE(skipping_updates_the_state_as_reading_does, boost::unit_test::data::make(tiny_models()), tiny) {
  Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  scramble(model);
  const Batch music = random_music(tiny.settings, steps, pieces, Dtype::f64), before = part(music, 0, 4),
              after = part(music, 4, 3);
  const Logits expected = whole(model, music);
  BiaxialDecoder decoder(model);
  for (int round = 0; round < 2; ++round) {
    decoder.reset();
    decoder.skip(decoder.prepare(before), before.target, before.match, before.style);
    Check notes{expected.notes};
    notes(decoder.read(after).notes.value(), 4);
    BOOST_TEST(notes.worst < limit_of(Dtype::f64));
  }
}

BOOST_DATA_TEST_CASE(reading_in_chunks_gives_the_whole_sequences_logits, boost::unit_test::data::make(tiny_models()),
                     tiny) {
  for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Biaxial model(tiny.settings, 3, dtype, Device::cpu);
    scramble(model);
    const Batch music = random_music(tiny.settings, steps, pieces, dtype);
    const Logits expected = whole(model, music);
    BiaxialDecoder decoder(model);
    for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{7}, {1, 1, 1, 1, 1, 1, 1}, {3, 1, 2, 1}, {2, 5}}) {
      Check notes{expected.notes}, volume{expected.volume};
      int64_t first = 0;
      decoder.reset();
      for (int64_t length : lengths) {
        const Batch some = part(music, first, length);
        const Prediction p = decoder.read(some);
        notes(p.notes.value(), first);
        volume(p.volume.defined() ? p.volume.value() : p.notes.value(), first);
        first += length;
      }
      BOOST_TEST(notes.worst < limit_of(dtype), dtype << ", " << lengths.size() << " chunks");
      BOOST_TEST(volume.worst < limit_of(dtype), dtype << ", " << lengths.size() << " chunks");
    }
  }
}

// `r` is a step that is read, `c` one that is composed. The composed ones choose the target, so both give the same.
BOOST_DATA_TEST_CASE(composing_note_by_note_gives_the_whole_sequences_logits,
                     boost::unit_test::data::make(tiny_models()), tiny) {
  for (Dtype dtype : {Dtype::f64, Dtype::f32})
    for (const std::string plan : {"ccccccc", "rrcccrc", "crrccrc"}) {
      Biaxial model(tiny.settings, 3, dtype, Device::cpu);
      scramble(model);
      const Batch music = random_music(tiny.settings, steps, pieces, dtype);
      const Logits expected = whole(model, music);
      Check notes{expected.notes}, volume{expected.volume};
      BiaxialDecoder decoder(model);
      for (int64_t t = 0; t < steps; ++t) {
        const Batch one = part(music, t, 1);
        if (plan[t] == 'r') {
          notes(decoder.read(one).notes.value(), t);
          continue;
        }
        const Logits found = composed(decoder, model, one);
        if (!tiny.autoregressive) continue;  // see the next test
        notes(found.notes, t);
        volume(found.volume, t);
      }
      // Rounding through two attentions reaches 1.5e-5 in f32.
      BOOST_TEST(notes.worst < 4 * limit_of(dtype), dtype << ", " << plan << ": " << notes.worst);
      BOOST_TEST(volume.worst < 4 * limit_of(dtype), dtype << ", " << plan << ": " << volume.worst);
    }
}

// Every ordering with match features: two steps read, one skipped, the others composed.
BOOST_DATA_TEST_CASE(match_features_are_carried, boost::unit_test::data::make(tiny_models_with_match()), tiny) {
  Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  scramble(model);
  const Batch music = random_music(tiny.settings, steps, pieces, Dtype::f64);
  const Logits expected = whole(model, music);
  Check notes{expected.notes}, volume{expected.volume};
  BiaxialDecoder decoder(model);
  notes(decoder.read(part(music, 0, 2)).notes.value(), 0);
  const Batch skipped = part(music, 2, 1);
  decoder.skip(decoder.prepare(skipped), skipped.target, skipped.match, skipped.style);
  for (int64_t t = 3; t < steps; ++t) {
    const Logits found = composed(decoder, model, part(music, t, 1));
    if (!tiny.autoregressive) continue;  // see the next test
    notes(found.notes, t);
    volume(found.volume, t);
  }
  BOOST_TEST(notes.worst < 1e-12);
  BOOST_TEST(volume.worst < 1e-12);

  Batch other = music;
  other.match = random_input(music.match.shape(), 77);
  BOOST_TEST(!same_bits(whole(model, other).notes, expected.notes));
}

// While a model composes, an open attention sees zeros for the notes that are not chosen yet.
BOOST_AUTO_TEST_CASE(a_leaky_model_composes_with_zeros_for_notes_not_chosen_yet) {
  for (const TinyModel& tiny : tiny_models()) {
    if (tiny.autoregressive) continue;
    Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
    scramble(model);
    const int64_t notes = tiny.settings.notes, channels = tiny.settings.channels;
    const Batch music = random_music(tiny.settings, steps, pieces);
    BiaxialDecoder decoder(model);
    for (int64_t t = 0; t < steps; ++t) {
      const Logits found = composed(decoder, model, part(music, t, 1));
      for (int64_t position = 0; position < notes; ++position) {
        const int64_t note = tiny.settings.descending ? notes - 1 - position : position;
        Batch known = part(music, 0, t + 1);
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

// Columns that go on from other columns, as particles do: the logits of the music that they have heard from then on.
BOOST_DATA_TEST_CASE(columns_go_on_as_others_did, boost::unit_test::data::make(tiny_models_with_match()), tiny) {
  Biaxial model(tiny.settings, 3, Dtype::f64, Device::cpu);
  scramble(model);
  const Columns columns{2, 0, 0};
  const Batch music = random_music(tiny.settings, steps, pieces, Dtype::f64), before = part(music, 0, 4);
  Batch selected = music;
  selected.each([&](Tensor& tensor) { tensor = select_columns(tensor, 1, columns); });
  const Batch after = part(selected, 4, 1);
  const Logits expected = whole(model, selected), others = whole(model, music);
  BOOST_TEST(!same_bits(expected.notes, others.notes));
  for (bool composing : {false, true}) {
    BiaxialDecoder decoder(model);
    if (composing)
      for (int64_t t = 0; t < 4; ++t) composed(decoder, model, part(before, t, 1));
    else
      decoder.skip(decoder.prepare(before), before.target, before.match, before.style);
    decoder.select(columns);
    Check notes{expected.notes};
    if (composing && tiny.autoregressive)
      notes(composed(decoder, model, after).notes, 4);
    else if (!composing)
      notes(decoder.read(part(selected, 4, 3)).notes.value(), 4);
    BOOST_TEST(notes.worst < 1e-12, (composing ? "composing" : "reading"));
  }
}

BOOST_AUTO_TEST_CASE(a_reset_clears_the_state_and_nothing_is_recorded) {
  Biaxial model(tiny_models()[5].settings, 3, Dtype::f64, Device::cpu);
  const Batch music = random_music(model.settings, steps, pieces);
  BiaxialDecoder decoder(model);
  const Prediction first = decoder.read(music);
  BOOST_TEST(!first.notes.requires_grad());
  BOOST_TEST(!same_bits(decoder.read(music).notes.value(), first.notes.value()));
  decoder.reset();
  BOOST_TEST(same_bits(decoder.read(music).notes.value(), first.notes.value()));
}

BOOST_AUTO_TEST_SUITE_END()
