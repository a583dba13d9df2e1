#include <boost/test/unit_test.hpp>
#include <chrono>

#include "data/roll.h"
#include "tensor/error.h"
#include "tests/midi_bytes.h"

using namespace poph;
using namespace poph::test;

namespace {

constexpr RollSettings two_notes = {.lowest_note = 60, .notes = 2};

// The roll of one format-1 track at a tick per step, as text.
std::string decoded(const Bytes& events, RollSettings settings = two_notes, int division = 4, int format = 1) {
  return text_of(decode(parse_midi(one_track(events, division, format)), settings));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(roll)

BOOST_AUTO_TEST_CASE(notes_and_replays) {
  // A note of two steps, then silence, then one of one step.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 2, 60, 0, 1, 61, 8, 1, 61, 0}) == "9 .|9 .|. .|. 8|");
  // A re-strike while it sounds, and one after an off at the same tick; a note after a rest is no replay.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 5, 1, 60, 0, 0, 60, 7, 1, 60, 0, 1, 60, 6, 1, 60, 0}) == "9 .|5' .|7' .|. .|6 .|");
  // Struck in the step in which it begins: nothing played before.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 4, 60, 8, 4, 60, 0}, two_notes, 16) == "9 .|8' .|");
  // Within one step the loudest counts, not the last; the step after is the last one's.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 99, 1, 60, 5, 6, 60, 0}, two_notes, 16) == "99 .|5 .|");
  // Off and on again inside step 1: it plays in 0 and 1 and is struck in 1.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 5, 60, 0, 1, 60, 3, 2, 60, 0}, two_notes, 16) == "9 .|9' .|");
  // An off for a silent pitch is ignored; a note left on ends with the track.
  BOOST_TEST(decoded({0, 0x80, 60, 0, 1, 0x90, 60, 9, 3, 0xFF, 0x2F, 0}) == ". .|9 .|9 .|9 .|");
  BOOST_TEST(decoded({1, 0x90, 60, 9}) == "");
}

BOOST_AUTO_TEST_CASE(notes_of_no_length) {
  BOOST_TEST(decoded({0, 0x90, 60, 9, 0, 60, 0, 1, 61, 8, 1, 61, 0}) == ". .|. 8|");
  // Struck twice at one tick: the first never sounds.
  BOOST_TEST(decoded({0, 0x90, 60, 99, 0, 60, 9, 1, 60, 0}) == "9 .|");
  // It sounds nowhere, but its note-on falls in a step where the pitch plays, as it did before: SPEC's replay.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 5, 60, 0, 0, 60, 7, 0, 60, 0, 3, 61, 1, 4, 61, 0}, two_notes, 16) == "9 .|9' .|. 1|");
}

BOOST_AUTO_TEST_CASE(steps_are_floors) {
  // Division 3: steps at ticks 0.75, 1.5, 2.25, 3. A note over ticks [1, 2) lies in step 1, over [2, 3) in steps 2..2.
  BOOST_TEST(decoded({1, 0x90, 60, 9, 1, 60, 0}, two_notes, 3) == ". .|9 .|");
  BOOST_TEST(decoded({2, 0x90, 60, 9, 1, 60, 0}, two_notes, 3) == ". .|. .|9 .|");
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 0}, two_notes, 1) == "9 .|");  // the tick, not the time it takes, falls in a step
  BOOST_TEST(decoded({0, 0x90, 60, 9, 2, 60, 0}, two_notes, 1) == "9 .|9 .|9 .|9 .|9 .|");
  RollSettings eighths = two_notes;
  eighths.steps_per_quarter = 2;
  BOOST_TEST(decoded({0, 0x90, 60, 9, 0x84, 0, 60, 0}, eighths, 256) == "9 .|9 .|9 .|9 .|");
}

BOOST_AUTO_TEST_CASE(tracks_merge) {
  const auto merged = [](const Bytes& a, const Bytes& b, int format = 1) {
    return text_of(decode(parse_midi(header(format, 2, 4) + chunk("MTrk", a) + chunk("MTrk", b)), two_notes));
  };
  const Bytes loud = {0, 0x90, 60, 100, 2, 60, 0}, soft = {0, 0x90, 60, 20, 3, 60, 0};
  BOOST_TEST(merged(loud, soft) == "120 .|120 .|20 .|");
  BOOST_TEST(merged(loud, loud) == "127 .|127 .|");  // cut off at 1
  BOOST_TEST(merged(loud, soft, 2) == "120 .|120 .|20 .|");
  // Struck in one track where the other holds on: no replay, as the struck one did not play before.
  BOOST_TEST(merged({1, 0x90, 60, 100, 1, 60, 0}, soft) == "20 .|120 .|20 .|");
  BOOST_TEST(merged({0, 0x90, 60, 100, 1, 60, 90, 1, 60, 0}, soft) == "120 .|110' .|20 .|");
  // Within one track of format 1 the channels share a pitch; in format 0 each is a track of its own.
  const Bytes channels = {0, 0x90, 60, 100, 1, 0x91, 60, 10, 1, 0x81, 60, 0, 1, 0x80, 60, 0};
  BOOST_TEST(decoded(channels) == "100 .|10' .|");
  BOOST_TEST(decoded(channels, two_notes, 4, 0) == "100 .|110 .|100 .|");
}

BOOST_AUTO_TEST_CASE(percussion_and_sustain) {
  RollSettings settings = two_notes;
  const Bytes drum = {0, 0x99, 60, 9, 1, 60, 0, 0, 0x90, 61, 8, 1, 61, 0};
  BOOST_TEST(decoded(drum) == ". .|. 8|");
  settings.percussion = true;
  BOOST_TEST(decoded(drum, settings) == "9 .|. 8|");

  settings = two_notes;
  const Bytes pedal = {0, 0xB0, 64, 127, 0, 0x90, 60, 9, 1, 60, 0, 2, 0xB0, 64, 0, 0, 0x90, 61, 1, 1, 61, 0};
  BOOST_TEST(decoded(pedal) == "9 .|. .|. .|. 1|");
  settings.sustain = true;
  BOOST_TEST(decoded(pedal, settings) == "9 .|9 .|9 .|. 1|");
  // A key that is down when the pedal goes up sounds on; so does one struck again under the pedal.
  BOOST_TEST(decoded({0, 0xB0, 64, 64, 0, 0x90, 60, 9, 1, 0xB0, 64, 63, 1, 0x80, 60, 0}, settings) == "9 .|9 .|");
  BOOST_TEST(decoded({0, 0xB0, 64, 64, 0, 0x90, 60, 9, 1, 60, 0, 1, 60, 8, 1, 0xB0, 64, 0, 1, 0x80, 60, 0}, settings) ==
             "9 .|9 .|8' .|8 .|");
  // The pedal of another channel does nothing.
  BOOST_TEST(decoded({0, 0xB1, 64, 127, 0, 0x90, 60, 9, 1, 60, 0, 1, 0xFF, 0x2F, 0}, settings) == "9 .|");
  BOOST_TEST(decoded({0, 0xB0, 64, 127, 0, 0xB1, 64, 127, 0, 0x90, 60, 9, 1, 60, 0, 1, 0xB1, 64, 0, 1, 0xB0, 64, 0}, settings) ==
             "9 .|9 .|9 .|");
  BOOST_TEST(decoded({0, 0xB0, 64, 127, 0, 0x90, 60, 9, 1, 60, 0, 2, 0xFF, 0x2F, 0}, settings) == "9 .|9 .|9 .|");  // never up
}

BOOST_AUTO_TEST_CASE(smpte_goes_through_the_tempo_map) {
  // 25 frames of 40 ticks: a tick is a millisecond. At 500 ms a quarter, a step lasts 125 ticks.
  const int division = (256 - 25) << 8 | 40;
  BOOST_TEST(decoded({125, 0x90, 60, 9, 0x81, 0x7A, 60, 0}, two_notes, division) == ". .|9 .|9 .|");  // [125, 375)
  BOOST_TEST(decoded({124, 0x90, 60, 9, 2, 60, 0}, two_notes, division) == "9 .|9 .|");
  // At tick 250 (step 2) a quarter becomes a second: step 3 starts at 500.
  const Bytes slower = {0x81, 0x7A, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40};
  BOOST_TEST(decoded(slower + Bytes{0x81, 0x7A, 0x90, 60, 9, 0x81, 0x7A, 60, 0}, two_notes, division) == ". .|. .|. .|9 .|");
  // A third of a quarter note at each of 300, 600 and 900 ms a quarter ends on an edge, though no third is a binary fraction.
  const auto tempo = [](int delta, int us) {
    return Bytes{uint8_t(delta / 128 | 0x80), uint8_t(delta % 128), 0xFF,       0x51, 3,
                 uint8_t(us >> 16),           uint8_t(us >> 8),     uint8_t(us)};
  };
  const Bytes thirds = tempo(0, 300000) + tempo(100, 600000) + tempo(200, 900000);
  BOOST_TEST(decoded(thirds + Bytes{0x82, 0x2C, 0x90, 60, 9, 1, 60, 0}, two_notes, division) == ". .|. .|. .|. .|9 .|");
  BOOST_TEST(decoded(thirds + Bytes{0x82, 0x2B, 0x90, 60, 9, 1, 60, 0}, two_notes, division) == ". .|. .|. .|9 .|");
}

BOOST_AUTO_TEST_CASE(range_and_report) {
  const Bytes events = {0, 0x90, 60, 9, 0, 59, 9, 0, 62, 9, 1, 60, 0, 3, 62, 0, 0, 59, 9, 0, 59, 0};
  DecodeReport report;
  const Roll roll = decode(parse_midi(one_track(events)), two_notes, &report);
  BOOST_TEST(text_of(roll) == "9 .|");  // what fell out of range leaves no silent steps behind
  BOOST_TEST(report.dropped_notes == 3);
  BOOST_TEST(report.tracks == 1);
  BOOST_TEST(report.seconds == 0.5, boost::test_tools::tolerance(1e-12));
  BOOST_CHECK_THROW(decode({}, {.lowest_note = 100, .notes = 48}), Error);
  BOOST_CHECK_THROW(decode({}, {.steps_per_quarter = 0}), Error);
  BOOST_CHECK_THROW(check({.lowest_note = -1}), Error);
  BOOST_CHECK_THROW(check({.notes = 0}), Error);
}

BOOST_AUTO_TEST_CASE(hostile_lengths_cost_nothing) {
  const auto begin = std::chrono::steady_clock::now();
  const auto says = [](const char* text) {
    return [=](const Error& e) { return std::string(e.what()).find(text) != std::string::npos; };
  };
  const Bytes longest = {0xFF, 0xFF, 0xFF, 0x7F};
  for (int division : {1, 4, 480, (256 - 25) << 8 | 40, (256 - 24) << 8 | 1})
    BOOST_CHECK_EXCEPTION(decoded(Bytes{0, 0x90, 60, 9} + longest + Bytes{60, 0}, two_notes, division), Error,
                          says("decode: a note sounds at or after step 65664, expected a piece of at most 65664 steps for 2 events"));
  BOOST_TEST(decoded(Bytes{0, 0x90, 60, 9, 1, 60, 0} + longest + Bytes{0xFF, 0x2F, 0}) == "9 .|");  // silence is cut anyway
  BOOST_TEST(decoded(Bytes{0, 0x90, 60, 9, 1, 60, 0} + longest + Bytes{60, 9, 0, 60, 0}) == "9 .|");
  // As long as two events allow; with enough of them the longest piece there may be.
  const auto held_for = [](int64_t ticks) {
    return Bytes{0, 0x90, 60, 9, uint8_t(0x80 | ticks >> 14), uint8_t(0x80 | (ticks >> 7 & 0x7F)), uint8_t(ticks & 0x7F), 60, 0};
  };
  BOOST_TEST(decoded(held_for(65664)).size() == 65664 * 4u);
  BOOST_CHECK_EXCEPTION(decoded(held_for(65665)), Error, says("at or after step 65664"));
  Bytes hours = held_for((1 << 20) - 1);
  for (int i = 0; i < 16384; ++i) hours = std::move(hours) + Bytes{0, 61, 0};
  BOOST_TEST(decode(parse_midi(one_track(hours)), two_notes).steps() == max_steps - 1);
  Bytes more = std::move(hours) + Bytes{0x20, 60, 9, 1, 60, 0};
  BOOST_CHECK_EXCEPTION(decoded(more), Error, says("expected a piece of at most 1048576 steps for"));
  // In 1000 tracks together far too much of what each is allowed.
  Bytes many = header(1, 1000, 4);
  const Bytes track = chunk("MTrk", held_for(65664));
  for (int i = 0; i < 1000; ++i) many.insert(many.end(), track.begin(), track.end());
  BOOST_CHECK_EXCEPTION(decode(parse_midi(many), two_notes), Error,
                        says("decode: notes sound for more than 3096576 steps together"));
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  BOOST_TEST(seconds < 30.0);
}

BOOST_AUTO_TEST_CASE(golden_files) {
  struct Golden {
    const char* file;
    int64_t lowest_note, notes, steps, sounding_cells, replays;
    double volume_sum;  // the last two are not known for the fourth
  };
  const Golden cases[] = {{"fugue_16_g_minor", 48, 24, 1281, 3293, 10, 1545.007874015748},
                          {"twopart_invention_in_a_minor", 48, 24, 416, 702, 43, 370.10236220472444},
                          {"mz_545_2", 48, 24, 1266, 1836, 62, 564.9370078740158},
                          {"mz_545_2", 21, 88, 1266, 2639, -1, -1}};
  for (const auto& want : cases) {
    std::vector<uint8_t> buffer;
    const MidiFile file = parse_midi(read_file(joined(POPH_SOURCE_ROOT, "/tests/golden/", want.file, ".mid"), buffer));
    const Roll roll = decode(file, {.lowest_note = want.lowest_note, .notes = want.notes});
    BOOST_TEST(roll.steps() == want.steps);
    BOOST_TEST(roll.sounding_cells() == want.sounding_cells);
    if (want.replays < 0) continue;
    BOOST_TEST(roll.replays() == want.replays);
    BOOST_TEST(roll.volume_sum() == want.volume_sum, boost::test_tools::tolerance(1e-9 / want.volume_sum));
  }
}

BOOST_AUTO_TEST_CASE(encoding_is_as_spelt_out) {
  Roll roll(60, 2);
  roll.append(Bytes{9, 0});
  roll.append(Bytes{9 | replay_bit, 5});
  roll.append(Bytes{0, 5});
  const Bytes want = header(0, 1, 480) + chunk("MTrk", Bytes{0, 0xFF, 0x51, 3, 0x07, 0xA1, 0x20} + Bytes{0, 0x90, 60, 9} +
                                                           Bytes{120, 0x80, 60, 0, 0, 0x90, 60, 9, 0, 0x90, 61, 5} +
                                                           Bytes{120, 0x80, 60, 0} + Bytes{120, 0x80, 61, 0} + end_of_track);
  BOOST_TEST(encode(roll) == want);
  BOOST_TEST(decode(parse_midi(encode(Roll(36, 48))), {}).steps() == 0);
  BOOST_CHECK_THROW(encode(roll, 120, 7), Error);
  BOOST_CHECK_THROW(encode(roll, 120, 0), Error);
  BOOST_CHECK_THROW(encode(roll, -1), Error);
}

BOOST_AUTO_TEST_CASE(round_trip_of_random_rolls) {
  Random random{7};
  for (int i = 0; i < 200; ++i) {
    const int64_t notes = 1 + random.below(128), lowest_note = random.below(129 - notes);
    const int64_t per_quarter = std::vector<int64_t>{1, 3, 4, 8}[random.below(4)];
    const Roll roll = random_roll(random, 1 + random.below(60), lowest_note, notes);
    const MidiFile file = parse_midi(encode(roll, 30 + i, per_quarter));
    BOOST_TEST((decode(file, {lowest_note, notes, per_quarter}) == roll));
  }
}

BOOST_AUTO_TEST_CASE(unpack_is_random_access) {
  Random random{11};
  const int64_t steps = 40, notes = 13;
  const Roll roll = random_roll(random, steps, 60, notes);
  for (int64_t channels : {1, 3})
    for (int64_t shift : {0, 2, -5, 13, -200}) {
      const int64_t first = -9, count = 60, stride = notes * channels + 5;
      std::vector<float> wide(count * stride, -7);
      std::vector<double> one(notes * channels);
      roll.unpack(first, count, channels, shift, wide.data(), stride);
      int64_t wrong = 0;
      for (int64_t k = 0; k < count; ++k) {
        roll.unpack(first + k, 1, channels, shift, one.data(), 1);
        for (int64_t n = 0; n < notes; ++n) {
          const int64_t step = first + k, from = n - shift;
          const Cell cell = from >= 0 && from < notes && step >= 0 && step < steps ? roll.cell(step, from) : Cell{0};
          const int velocity = cell & velocity_bits;
          const double want[] = {velocity > 0 ? 1.0 : 0.0, cell & replay_bit ? 1.0 : 0.0, velocity / 127.0};
          for (int64_t c = 0; c < channels; ++c) {
            wrong += one[n * channels + c] != want[c];
            wrong += wide[k * stride + n * channels + c] != (c == 2 ? velocity / 127.0f : static_cast<float>(want[c]));
          }
        }
        for (int64_t rest = notes * channels; rest < stride; ++rest) wrong += wide[k * stride + rest] != -7;
      }
      BOOST_TEST(wrong == 0);
    }
  std::vector<float> room(100);
  BOOST_CHECK_THROW(roll.unpack(0, 1, 2, 0, room.data(), 1), Error);
}

BOOST_AUTO_TEST_CASE(rolls_are_checked_and_small) {
  Roll roll(36, 48);
  std::vector<Cell> cells(48);
  BOOST_CHECK_THROW(roll.append(std::span(cells).first(47)), Error);
  cells[3] = replay_bit;
  BOOST_CHECK_THROW(roll.append(cells), Error);
  BOOST_TEST(roll.steps() == 0);
  cells = std::vector<Cell>(48);
  cells[0] = cells[8] = cells[47] = 127 | replay_bit;
  for (int i = 0; i < 10000; ++i) roll.append(cells);
  roll.shrink();
  BOOST_TEST(roll.bytes() < 10000 * (6 + 4 + 3) + 1000);
  BOOST_TEST(roll.replays() == 30000);
  BOOST_TEST(roll.volume_sum() == 30000.0);
}

BOOST_AUTO_TEST_SUITE_END()
