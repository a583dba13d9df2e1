#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/files/file.h"
#include "data/music/chords.h"
#include "data/music/match.h"
#include "poph_paths.h"
#include "tests/support/fewer.h"
#include "tests/support/rolls.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;
using nlohmann::json;

namespace {

const std::string golden = POPH_SOURCE_ROOT "/tests/golden/";

// The golden steps of MIDI files are those of data.quantize = "floor".
Roll golden_piece(const std::string& name, const json& expected) {
  const RollSettings settings{
      .lowest_note = expected["lowest_note"], .notes = expected["notes"], .quantize = Quantize::floor};
  if (expected["channels"] == 3) return decode(read_midi_file(golden + name + ".mid"), settings);
  std::vector<uint8_t> buffer;
  return parse_chords(read_file(golden + "match/" + name + ".chords.json", buffer), settings).at(0).roll;
}

// MODEL.md "Match features" as it stands: sets of (note, replay), and every earlier place is looked at.
using Notes = std::set<std::pair<int64_t, bool>>;

std::vector<Notes> plain_window(const std::vector<Notes>& frames, int64_t first, int64_t end) {
  return {frames.begin() + first, frames.begin() + end};
}
int64_t plain_lowest(const std::vector<Notes>& window) {  // -1: nothing sounds
  int64_t lowest = -1;
  for (const Notes& frame : window)
    if (!frame.empty() && (lowest < 0 || frame.begin()->first < lowest)) lowest = frame.begin()->first;
  return lowest;
}
std::vector<Notes> plain_lowered(std::vector<Notes> window) {
  const int64_t lowest = plain_lowest(window);
  for (Notes& frame : window) {
    Notes moved;
    for (const auto& [note, replay] : frame) moved.emplace(note - lowest, replay);
    frame = moved;
  }
  return window;
}

Matches plain_matches(const std::vector<Notes>& frames, int64_t t) {
  Matches found;
  for (int64_t k : {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64})
    for (int64_t j = k; j < t; ++j)
      if (plain_window(frames, j - k, j) == plain_window(frames, t - k, t))
        found.exact = {static_cast<uint32_t>(j), static_cast<int16_t>(k), 0};
  for (int64_t k : {2, 4, 8, 16, 32}) {
    if (t < k || plain_lowest(plain_window(frames, t - k, t)) < 0) continue;
    const auto now = plain_window(frames, t - k, t);
    for (int64_t j = k; j < t; ++j) {
      const auto then = plain_window(frames, j - k, j);
      if (plain_lowest(then) >= 0 && plain_lowered(then) == plain_lowered(now))
        found.transposed = {static_cast<uint32_t>(j), static_cast<int16_t>(k),
                            static_cast<int16_t>(plain_lowest(now) - plain_lowest(then))};
    }
  }
  return found;
}

std::vector<Notes> plain_frames(const Roll& roll, int64_t channels) {
  std::vector<Notes> frames(roll.steps());
  for (int64_t step = 0; step < roll.steps(); ++step)
    for (int64_t note = 0; note < roll.notes(); ++note)
      if (const Cell cell = roll.cell(step, note)) frames[step].emplace(note, channels > 1 && (cell & replay_bit));
  return frames;
}

// Few frames in any order, some of them again higher or lower, runs of silence among them: much of it repeats.
Roll repetitive_roll(uint32_t seed, int64_t steps, int64_t notes) {
  std::mt19937 random(seed);
  const auto below = [&](int64_t end) { return static_cast<int64_t>(random() % end); };
  std::vector<std::vector<Cell>> made;
  while (std::ssize(made) < steps) {
    if (made.size() > 8 && below(3) > 0) {
      const int64_t from = below(std::ssize(made) - 1), count = 1 + below(40), shift = below(2) ? 0 : below(7) - 3;
      for (int64_t i = 0; i < count; ++i) {
        std::vector<Cell> moved(notes);
        for (int64_t note = 0; note < notes; ++note)
          if (note - shift >= 0 && note - shift < notes) moved[note] = made[from + i][note - shift];
        made.push_back(moved);
      }
    } else {
      std::vector<Cell> frame(notes);
      if (below(4) > 0)
        for (int64_t i = 0; i < 2; ++i) frame[below(notes)] = static_cast<Cell>(64 | (below(3) ? 0 : replay_bit));
      for (int64_t i = below(3); i >= 0; --i) made.push_back(frame);
    }
  }
  Roll roll(30, notes);
  for (int64_t step = 0; step < steps; ++step) roll.append(made[step]);
  return roll;
}

void check_against_plain(const Roll& roll, int64_t channels) {
  const std::vector<Notes> frames = plain_frames(roll, channels);
  const std::vector<Matches> found = find_matches(roll, channels);
  BOOST_REQUIRE(std::ssize(found) == roll.steps());
  int64_t wrong = 0;
  for (int64_t t = 0; t < roll.steps(); ++t) wrong += !(found[t] == plain_matches(frames, t));
  BOOST_TEST(wrong == 0, wrong << " of " << roll.steps() << " steps");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(match)

BOOST_DATA_TEST_CASE(golden_steps,
                     boost::unit_test::data::make(std::vector<std::string>{"fugue_16_g_minor", "mz_545_2",
                                                                           "nottingham_valid_0", "piano_midi_test_3"}),
                     name) {
  const json expected = json::parse(std::ifstream(golden + "match/" + name + ".json"));
  const Roll roll = golden_piece(name, expected);
  const std::vector<Matches> found = find_matches(roll, expected["channels"]);
  BOOST_REQUIRE(std::ssize(found) == expected["steps"].get<int64_t>());
  int64_t wrong = 0;
  for (size_t t = 0; t < found.size(); ++t) {
    const json &exact = expected["exact"][t], &transposed = expected["transposed"][t];
    wrong += found[t].exact.length != exact[0] || found[t].exact.from != exact[1];
    wrong += found[t].transposed.length != transposed[0] || found[t].transposed.from != transposed[1] ||
             found[t].transposed.shift != transposed[2];
  }
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(a_plain_search_finds_the_same) {
  for (int64_t channels : {1, 3}) {
    for (uint32_t seed = 1; seed <= fewer(2); ++seed) {
      check_against_plain(repetitive_roll(seed, POPH_ASAN ? 60 : 160, 9), channels);
      check_against_plain(repetitive_roll(seed, POPH_ASAN ? 50 : 100, 70), channels);  // frames of two words
      check_against_plain(chance_roll(seed, 100, 40, 3, 0.3), channels);
    }
    check_against_plain(chance_roll(9, 80, 40, 1, 0.7), channels);
    check_against_plain(Roll(40, 5), channels);
  }
}

BOOST_AUTO_TEST_CASE(a_copy_goes_on_by_itself) {
  const Roll roll = repetitive_roll(5, 120, 8);
  const std::vector<Matches> expected = find_matches(roll, 3);
  MatchFinder finder(8, 3);
  for (int64_t step = 0; step < 60; ++step) finder.append(frame_of(roll, step));
  MatchFinder other = finder;
  for (int64_t step = 0; step < 60; ++step) finder.append(frame_of(roll, (step * 7) % 50));
  for (int64_t step = 60; step < 120; ++step) {
    BOOST_TEST((other.next() == expected[step]));
    other.append(frame_of(roll, step));
  }
}

// Two notes a step; the past repeats after three steps, once two semitones higher.
BOOST_AUTO_TEST_CASE(features_by_hand) {
  Roll roll(60, 6);
  const auto step = [&](std::vector<Cell> cells) { roll.append(cells); };
  step({10, 20, 0, 0, 0, 0});
  step({0, 30, 0, 0, 0, 0});
  step({40, 0, 0, 50 | replay_bit, 0, 0});
  step({0, 0, 11, 21, 0, 0});
  step({0, 0, 0, 31, 0, 0});
  step({0, 0, 0, 0, 0, 0});
  const std::vector<Matches> found = find_matches(roll, 3);
  BOOST_TEST((found[5].exact == Match{}));
  BOOST_TEST((found[5].transposed == Match{.from = 2, .length = 2, .shift = 2}));
  const double sure = std::log2(3.0) / std::log2(65.0);
  std::vector<double> expected(6 * 8, 0.0);
  for (int64_t note = 0; note < 6; ++note) expected[note * 8 + 4] = -sure;
  const auto cell = [&](int64_t note, double play, double replay, double velocity) {
    const std::array<double, 4> numbers{play, play > 0 ? 1.0 : 0.0, replay, velocity / 127};
    std::copy(numbers.begin(), numbers.end(), expected.begin() + note * 8 + 4);
  };
  cell(2, sure, 0, 40), cell(5, sure, 1, 50);
  std::vector<double> features(6 * 8, 99.0);
  unpack_matches(roll, found, 5, 1, 3, 0, features.data(), 48);
  BOOST_TEST(features == expected, boost::test_tools::per_element());

  // One semitone higher: the upper note leaves the range, and none comes from below. Two lower: it comes not back.
  cell(2, -sure, 0, 0), cell(5, -sure, 0, 0), cell(3, sure, 0, 40);
  unpack_matches(roll, found, 5, 1, 3, 1, features.data(), 48);
  BOOST_TEST(features == expected, boost::test_tools::per_element());

  // Play alone: the same match, the first two features. Steps outside the piece are zeros.
  std::vector<float> few(3 * 24, 99.0F);
  unpack_matches(roll, std::span<const Matches>(find_matches(roll, 1)), 4, 3, 1, 0, few.data(), 24);
  for (int64_t note = 0; note < 6; ++note) {
    const bool predicted = note == 2 || note == 5;
    const std::vector<float> one(&few[24 + note * 4], &few[24 + note * 4 + 4]);
    BOOST_TEST(one == (std::vector<float>{0, 0, static_cast<float>(predicted ? sure : -sure), predicted ? 1.0F : 0.0F}),
               boost::test_tools::per_element());
  }
  BOOST_TEST(std::count(few.begin() + 48, few.end(), 0.0F) == 24);
  BOOST_TEST(std::count(few.begin(), few.begin() + 24, 0.0F) == 24);
}

// What falls out of range is out, even where a transposition of the window would bring it back.
BOOST_AUTO_TEST_CASE(a_prediction_is_cut_before_the_window_is_moved) {
  const std::vector<double> frame{0, 1};  // the upper of two notes
  std::vector<double> out(8);
  const Matches up{.exact = {}, .transposed = {.from = 1, .length = 4, .shift = 1}};
  write_match_features(up, frame.data(), frame.data(), 2, 1, -1, out.data());
  BOOST_TEST(out[7] == 0);
  BOOST_TEST(out[6] < 0);
  write_match_features(Matches{.exact = {}, .transposed = {.from = 1, .length = 4, .shift = 0}}, frame.data(),
                       frame.data(), 2, 1, -1, out.data());
  BOOST_TEST(out[3] == 1);
}

BOOST_AUTO_TEST_CASE(bounds) {
  BOOST_TEST(message_of([] { MatchFinder(129, 1); }) == "match: 129 notes, expected 1 to 128");
  const Roll roll = chance_roll(1, 4, 60, 3, 0.5);
  float out[1];
  BOOST_TEST(message_of([&] { unpack_matches(roll, {}, 0, 1, 1, 0, out, 1); }) ==
             "match: matches of 0 steps, expected 4");
}

BOOST_AUTO_TEST_SUITE_END()
