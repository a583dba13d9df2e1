#include <boost/test/unit_test.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "data/music/roll.h"
#include "poph_paths.h"
#include "tensor/error.h"
#include "tests/support/midi_bytes.h"

using namespace poph;
using namespace poph::test;

namespace {

constexpr RollSettings two_notes = {.lowest_note = 60, .notes = 2};
constexpr RollSettings floored = {.lowest_note = 60, .notes = 2, .quantize = Quantize::floor};

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
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 5, 1, 60, 0, 0, 60, 7, 1, 60, 0, 1, 60, 6, 1, 60, 0}) ==
             "9 .|5' .|7' .|. .|6 .|");
  // Struck in the step in which it begins: nothing played before.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 4, 60, 8, 4, 60, 0}, floored, 16) == "9 .|8' .|");
  // Within one step the loudest counts, not the last; the step after is the last one's.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 99, 1, 60, 5, 6, 60, 0}, floored, 16) == "99 .|5 .|");
  // Off and on again inside step 1: it plays in 0 and 1 and is struck in 1.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 5, 60, 0, 1, 60, 3, 2, 60, 0}, floored, 16) == "9 .|9' .|");
  // An off for a silent pitch is ignored; a note left on ends with the track.
  BOOST_TEST(decoded({0, 0x80, 60, 0, 1, 0x90, 60, 9, 3, 0xFF, 0x2F, 0}) == ". .|9 .|9 .|9 .|");
  BOOST_TEST(decoded({1, 0x90, 60, 9}) == "");
}

BOOST_AUTO_TEST_CASE(notes_of_no_length) {
  BOOST_TEST(decoded({0, 0x90, 60, 9, 0, 60, 0, 1, 61, 8, 1, 61, 0}) == ". .|. 8|");
  // Struck twice at one tick: the first never sounds.
  BOOST_TEST(decoded({0, 0x90, 60, 99, 0, 60, 9, 1, 60, 0}) == "9 .|");
  // It sounds nowhere, so it begins nowhere: step 1 is no replay.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 5, 60, 0, 0, 60, 7, 0, 60, 0, 3, 61, 1, 4, 61, 0}, floored, 16) ==
             "9 .|9 .|. 1|");
}

BOOST_AUTO_TEST_CASE(steps_are_the_nearest) {
  // Four ticks a step. A note begins and ends at the nearest step, halves up, and has at least one.
  const auto note = [](uint8_t on, uint8_t length) { return decoded({on, 0x90, 60, 9, length, 60, 0}, two_notes, 16); };
  BOOST_TEST(note(1, 4) == "9 .|");
  BOOST_TEST(note(2, 4) == ". .|9 .|");
  BOOST_TEST(note(3, 4) == ". .|9 .|");
  BOOST_TEST(note(1, 1) == "9 .|");
  BOOST_TEST(note(2, 1) == ". .|9 .|");
  BOOST_TEST(note(0, 5) == "9 .|");
  BOOST_TEST(note(0, 6) == "9 .|9 .|");
  // In integers: halves of a division that no step divides.
  BOOST_TEST(decoded({3, 0x90, 60, 9, 12, 60, 0}, two_notes, 6) == ". .|. .|9 .|9 .|9 .|9 .|9 .|9 .|9 .|9 .|");
}

BOOST_AUTO_TEST_CASE(a_note_off_may_be_late) {
  // Four ticks a step: a note-off less than two ticks after a re-strike is the earlier note's.
  const auto struck_again = [](uint8_t late, const Bytes& then) {
    return decoded(Bytes{0, 0x90, 60, 9, 8, 60, 8, late, 60, 0} + then, two_notes, 16);
  };
  const Bytes off_later = {8, 60, 0};
  BOOST_TEST(struck_again(0, off_later) == "9 .|9 .|8' .|8 .|");
  BOOST_TEST(struck_again(1, off_later) == "9 .|9 .|8' .|8 .|");
  BOOST_TEST(struck_again(2, off_later) == "9 .|9 .|8' .|");
  // Only the first one. It is late for one re-strike alone, and only where the key was down.
  BOOST_TEST(struck_again(1, Bytes{0, 60, 0} + off_later) == "9 .|9 .|8' .|");
  BOOST_TEST(decoded({0, 0x90, 60, 9, 4, 60, 8, 4, 60, 0, 4, 60, 7, 1, 60, 0}, two_notes, 16) == "9 .|8' .|. .|7 .|");
  // Half of a step of three ticks at 6 a quarter note is 0.75 ticks.
  BOOST_TEST(decoded({0, 0x90, 60, 9, 3, 60, 8, 0, 60, 0, 3, 60, 0}, two_notes, 6) == "9 .|9 .|8' .|8 .|");
  BOOST_TEST(decoded({0, 0x90, 60, 9, 3, 60, 8, 1, 60, 0, 3, 60, 0}, two_notes, 6) == "9 .|9 .|8' .|");
}

BOOST_AUTO_TEST_CASE(controllers_end_notes_in_all_tracks) {
  const Bytes held = {0, 0x90, 60, 9, 8, 60, 0};
  const auto with = [&](const Bytes& other, RollSettings settings = two_notes) {
    return text_of(decode(parse_midi(header(1, 2, 4) + chunk("MTrk", held) + chunk("MTrk", other)), settings));
  };
  for (const uint8_t controller : {120, 123}) {
    BOOST_TEST(with({3, 0xB0, controller, 0}) == "9 .|9 .|9 .|");
    BOOST_TEST(with({3, 0xB1, controller, 0}) == "9 .|9 .|9 .|9 .|9 .|9 .|9 .|9 .|");  // of another channel
  }
  // The pedal stands in another track, and holds beyond the note's; 121 lifts it, 120 and 123 end what it holds.
  RollSettings sustained = two_notes;
  sustained.sustain = true;
  const Bytes down = {0, 0xB0, 64, 127};
  BOOST_TEST(with(down + Bytes{10, 64, 0}).size() == 8 * 4u);
  BOOST_TEST(with(down + Bytes{10, 64, 0}, sustained).size() == 10 * 4u);
  BOOST_TEST(with(down + Bytes{10, 121, 0}, sustained).size() == 10 * 4u);
  BOOST_TEST(with(down + Bytes{9, 123, 0}, sustained).size() == 9 * 4u);
  BOOST_TEST(with(down + Bytes{5, 121, 0}, sustained).size() == 8 * 4u);
  BOOST_TEST(with(down + Bytes{12, 7, 0}, sustained).size() == 12 * 4u);  // never up: to the end of the file
}

BOOST_AUTO_TEST_CASE(tracks_of_format_2_follow_each_other) {
  const auto file = [](const Bytes& a, const Bytes& b) {
    return parse_midi(header(2, 2, 4) + chunk("MTrk", a) + chunk("MTrk", b));
  };
  const Bytes note = {0, 0x90, 60, 9, 2, 60, 0};
  std::string want = "9 .|9 .|";
  for (int i = 2; i < 16; ++i) want += ". .|";  // the second one begins on a whole bar
  BOOST_TEST(text_of(decode(file(note, note), two_notes)) == want + "9 .|9 .|");
  BOOST_TEST(text_of(decode(file({0, 0x90, 70, 9, 2, 70, 0}, note), two_notes)) == "9 .|9 .|");
  // A controller holds for its own track. Each has a meter of its own.
  BOOST_TEST(text_of(decode(file(note, Bytes{1, 0xB0, 123, 0} + note), two_notes)).size() == 19 * 4u);
  const Roll waltzes = decode(file(Bytes{0, 0xFF, 0x58, 4, 3, 2, 24, 8} + note, note), two_notes);
  BOOST_TEST((Bars(waltzes.meters(), 4).starts(18) == std::vector<int64_t>{0, 12, 16}));
}

BOOST_AUTO_TEST_CASE(bars_and_beats) {
  const auto signature = [](uint8_t delta, uint8_t n, uint8_t power) {
    return Bytes{delta, 0xFF, 0x58, 4, n, power, 24, 8};
  };
  const Bytes long_note = {0, 0x90, 60, 9, 60, 60, 0};
  const auto starts = [&](const Bytes& before, RollSettings settings = two_notes) {
    const Roll roll = decode(parse_midi(header(1, 2, 4) + chunk("MTrk", before) + chunk("MTrk", long_note)), settings);
    return Bars(roll.meters(), settings.steps_per_quarter).starts(48);
  };
  using Starts = std::vector<int64_t>;
  BOOST_TEST((starts({}) == Starts{0, 16, 32}));
  BOOST_TEST((starts(signature(0, 3, 2)) == Starts{0, 12, 24, 36}));
  BOOST_TEST((starts(signature(0, 6, 3)) == Starts{0, 12, 24, 36}));
  BOOST_TEST((starts(signature(0, 3, 2) + signature(24, 4, 2)) == Starts{0, 12, 24, 40}));
  BOOST_TEST((starts(signature(0, 1, 2) + signature(4, 3, 2)) == Starts{0, 4, 16, 28, 40}));  // a pickup as notated
  BOOST_TEST((starts(signature(4, 3, 2)) == Starts{0, 4, 16, 28, 40}));  // within a bar: it ends there
  BOOST_TEST((starts(signature(0, 4, 2) + signature(16, 4, 2)) == Starts{0, 16, 32}));
  BOOST_TEST((starts(signature(0, 3, 2) + signature(0, 4, 2)) == Starts{0, 16, 32}));  // the last one of a step counts
  BOOST_TEST((starts(signature(0, 0, 2)) == Starts{0, 16, 32}));                       // makes no sense
  RollSettings fixed = two_notes, coarse = two_notes;
  fixed.file_meter = false;
  BOOST_TEST((starts(signature(0, 3, 2), fixed) == Starts{0, 16, 32}));
  coarse.steps_per_quarter = 1;
  BOOST_TEST(starts(signature(0, 5, 3), coarse).at(1) == 3);  // 2.5, rounded
  BOOST_TEST(bar_steps({1, 128}, 1) == 1);

  const std::vector<MeterChange> changes{{0, {3, 4}}, {24, {6, 4}}};
  const Bars bars(changes, 4);
  BOOST_TEST(bars.beat_place(0) == 0);
  BOOST_TEST(bars.beat_place(23) == 11);
  BOOST_TEST(bars.beat_place(24 + 15) == 15);
  BOOST_TEST(bars.beat_place(24 + 16) == 0);  // from the seventeenth sixteenth on again
  BOOST_TEST(bars.beat_place(24 + 24) == 0);
  BOOST_TEST(Bars({}, 12).beat_place(47) == 15);
  BOOST_TEST(Bars({}, 12).beat_place(13) == 4);  // three steps are a sixteenth: still the fifth one
  BOOST_TEST(Bars({}, 1).beat_place(5) == 4);    // the second quarter note of the second bar

  // A piece that begins at any step has the bars that follow there.
  for (int64_t first = 0; first < 60; ++first) {
    const std::vector<MeterChange> rest = bars.changes_from(first);
    for (int64_t step = first; step < 100; ++step)
      BOOST_TEST(Bars(rest, 4).bar_of(step - first).end + first == bars.bar_of(step).end, first << " " << step);
  }
  BOOST_TEST((meter_of("12/8") == Meter{12, 8}));
  for (const char* text : {"", "3", "3/", "/4", "0/4", "3/5", "256/4", "3/256", "-3/4", "3/4 ", "a/4", "99999999999/4"})
    BOOST_TEST(!meter_of(text).has_value(), text);
}

BOOST_AUTO_TEST_CASE(files_that_were_read_wrongly) {
  const std::string folder = joined(POPH_SOURCE_ROOT, "/tests/golden/cases/");
  const auto expected = nlohmann::json::parse(std::ifstream(folder + "expected.json"));
  BOOST_TEST(expected.size() == 11u);
  for (const auto& [name, ways] : expected.items())
    for (const auto& [way, want] : ways.items()) {
      RollSettings settings{.lowest_note = 0, .notes = 128, .sustain = way == "sustain"};
      if (way == "floor") settings.quantize = Quantize::floor;
      const Roll roll = decode(read_midi_file(folder + name), settings);
      BOOST_TEST(roll.steps() == want["steps"], name << " " << way);
      BOOST_TEST(roll.sounding_cells() == want["sounding_cells"], name << " " << way);
      BOOST_TEST(roll.replays() == want["replays"], name << " " << way);
      BOOST_TEST(std::abs(roll.volume_sum() - want["volume_sum"].get<double>()) < 1e-6, name << " " << way);
    }
}

BOOST_AUTO_TEST_CASE(steps_are_floors) {
  // Division 3: steps at ticks 0.75, 1.5, 2.25, 3. A note over ticks [1, 2) touches steps 1 and 2, over [2, 3) 2 and 3.
  BOOST_TEST(decoded({1, 0x90, 60, 9, 1, 60, 0}, floored, 3) == ". .|9 .|9 .|");
  BOOST_TEST(decoded({2, 0x90, 60, 9, 1, 60, 0}, floored, 3) == ". .|. .|9 .|9 .|");
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 0}, floored, 1) == "9 .|9 .|9 .|9 .|");
  BOOST_TEST(decoded({0, 0x90, 60, 9, 1, 60, 0}, two_notes, 1) == "9 .|9 .|9 .|9 .|");
  RollSettings eighths = floored;
  eighths.steps_per_quarter = 2;
  BOOST_TEST(decoded({0, 0x90, 60, 9, 0x84, 0, 60, 0}, eighths, 256) == "9 .|9 .|9 .|9 .|");
}

BOOST_AUTO_TEST_CASE(tracks_merge) {
  const auto merged = [](const Bytes& a, const Bytes& b) {
    return text_of(decode(parse_midi(header(1, 2, 4) + chunk("MTrk", a) + chunk("MTrk", b)), two_notes));
  };
  const Bytes loud = {0, 0x90, 60, 100, 2, 60, 0}, soft = {0, 0x90, 60, 20, 3, 60, 0};
  BOOST_TEST(merged(loud, soft) == "100 .|100 .|20 .|");  // the loudest counts
  BOOST_TEST(merged(soft, loud) == "100 .|100 .|20 .|");
  // Struck in one track where the other holds on: the key is struck again.
  BOOST_TEST(merged({1, 0x90, 60, 100, 1, 60, 0}, soft) == "20 .|100' .|20 .|");
  BOOST_TEST(merged({0, 0x90, 60, 100, 1, 60, 90, 1, 60, 0}, soft) == "100 .|90' .|20 .|");
  // Each channel of a track has notes of its own.
  const Bytes channels = {0, 0x90, 60, 100, 1, 0x91, 60, 10, 1, 0x81, 60, 0, 1, 0x80, 60, 0};
  for (const int format : {0, 1}) BOOST_TEST(decoded(channels, two_notes, 4, format) == "100 .|100' .|100 .|");
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
  BOOST_TEST(decoded({0, 0xB0, 64, 127, 0, 0xB1, 64, 127, 0, 0x90, 60, 9, 1, 60, 0, 1, 0xB1, 64, 0, 1, 0xB0, 64, 0},
                     settings) == "9 .|9 .|9 .|");
  // never up
  BOOST_TEST(decoded({0, 0xB0, 64, 127, 0, 0x90, 60, 9, 1, 60, 0, 2, 0xFF, 0x2F, 0}, settings) == "9 .|9 .|9 .|");
}

BOOST_AUTO_TEST_CASE(smpte_goes_through_the_tempo_map) {
  // 25 frames of 40 ticks: a tick is a millisecond. At 500 ms a quarter, a step lasts 125 ticks.
  const int division = (256 - 25) << 8 | 40;
  BOOST_TEST(decoded({125, 0x90, 60, 9, 0x81, 0x7A, 60, 0}, two_notes, division) == ". .|9 .|9 .|");  // [125, 375)
  BOOST_TEST(decoded({124, 0x90, 60, 9, 2, 60, 0}, floored, division) == "9 .|9 .|");
  BOOST_TEST(decoded({62, 0x90, 60, 9, 0x81, 0x7A, 60, 0}, two_notes, division) == "9 .|9 .|");
  BOOST_TEST(decoded({63, 0x90, 60, 9, 0x81, 0x7A, 60, 0}, two_notes, division) == ". .|9 .|9 .|");
  // At tick 250 (step 2) a quarter becomes a second: step 3 starts at 500.
  const Bytes slower = {0x81, 0x7A, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40};
  BOOST_TEST(decoded(slower + Bytes{0x81, 0x7A, 0x90, 60, 9, 0x81, 0x7A, 60, 0}, two_notes, division) ==
             ". .|. .|. .|9 .|");
  // A third of a quarter note at each of 300, 600 and 900 ms a quarter ends on an edge, though no third is a binary
  // fraction.
  const auto tempo = [](int delta, int us) {
    return Bytes{uint8_t(delta / 128 | 0x80), uint8_t(delta % 128), 0xFF,       0x51, 3,
                 uint8_t(us >> 16),           uint8_t(us >> 8),     uint8_t(us)};
  };
  const Bytes thirds = tempo(0, 300000) + tempo(100, 600000) + tempo(200, 900000);
  BOOST_TEST(decoded(thirds + Bytes{0x82, 0x2C, 0x90, 60, 9, 1, 60, 0}, floored, division) == ". .|. .|. .|. .|9 .|");
  BOOST_TEST(decoded(thirds + Bytes{0x82, 0x2B, 0x90, 60, 9, 1, 60, 0}, floored, division) == ". .|. .|. .|9 .|");
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
    BOOST_CHECK_EXCEPTION(
        decoded(Bytes{0, 0x90, 60, 9} + longest + Bytes{60, 0}, two_notes, division), Error,
        says("decode: a note sounds at or after step 65664, expected a piece of at most 65664 steps for 2 events"));
  // silence is cut anyway
  BOOST_TEST(decoded(Bytes{0, 0x90, 60, 9, 1, 60, 0} + longest + Bytes{0xFF, 0x2F, 0}) == "9 .|");
  BOOST_TEST(decoded(Bytes{0, 0x90, 60, 9, 1, 60, 0} + longest + Bytes{60, 9, 0, 60, 0}) == "9 .|");
  // As long as two events allow; with enough of them the longest piece there may be.
  const auto held_for = [](int64_t ticks) {
    return Bytes{
        0, 0x90, 60, 9, uint8_t(0x80 | ticks >> 14), uint8_t(0x80 | (ticks >> 7 & 0x7F)), uint8_t(ticks & 0x7F), 60, 0};
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
    const MidiFile file = read_midi_file(joined(POPH_SOURCE_ROOT, "/tests/golden/", want.file, ".mid"));
    const Roll roll = decode(file, {.lowest_note = want.lowest_note, .notes = want.notes, .quantize = Quantize::floor});
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
  const Bytes want = header(0, 1, 480) +
                     chunk("MTrk", Bytes{0, 0xFF, 0x51, 3, 0x07, 0xA1, 0x20} + Bytes{0, 0xFF, 0x58, 4, 4, 2, 24, 8} +
                                       Bytes{0, 0x90, 60, 9} + Bytes{120, 0x80, 60, 0, 0, 0x90, 60, 9, 0, 0x90, 61, 5} +
                                       Bytes{120, 0x80, 60, 0} + Bytes{120, 0x80, 61, 0} + end_of_track);
  BOOST_TEST(encode(roll) == want);
  BOOST_TEST(decode(parse_midi(encode(Roll(36, 48))), {}).steps() == 0);
  BOOST_CHECK_THROW(encode(roll, {120, 7, {}}), Error);
  BOOST_CHECK_THROW(encode(roll, {120, 0, {}}), Error);
  BOOST_CHECK_THROW(encode(roll, {-1, 4, {}}), Error);
}

BOOST_AUTO_TEST_CASE(round_trip_of_random_rolls) {
  Random random{7};
  for (int i = 0; i < 200; ++i) {
    const int64_t notes = 1 + random.below(128), lowest_note = random.below(129 - notes);
    const int64_t per_quarter = std::vector<int64_t>{1, 3, 4, 8}[random.below(4)];
    const Roll roll = random_roll(random, 1 + random.below(60), lowest_note, notes);
    Roll metered = roll;
    if (i % 2) metered.set_meters({{0, {3, 4}}, {random.below(roll.steps()) + 1, {6, 8}}});
    std::vector<MeterChange> meters(metered.meters().begin(), metered.meters().end());
    std::erase_if(meters, [&](const MeterChange& change) { return change.step >= roll.steps(); });
    metered.set_meters(meters);
    const MidiFile file = parse_midi(encode(metered, {30.0 + i, per_quarter, "a text"}));
    BOOST_TEST((decode(file, {lowest_note, notes, per_quarter}) == metered));
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
