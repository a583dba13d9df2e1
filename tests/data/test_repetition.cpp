#include <boost/test/unit_test.hpp>
#include <cmath>

#include "data/measures/measures.h"
#include "data/measures/repetition.h"
#include "data/music/match.h"
#include "tests/support/rolls.h"

using namespace poph;
using namespace poph::test;

namespace {

// By the definition: every step's last bar against every earlier window.
double plain_repetition(const Roll& roll, int64_t steps_per_quarter) {
  const auto alike = [&](int64_t a, int64_t b) {
    for (int64_t note = 0; note < roll.notes(); ++note) {
      const Cell x = roll.cell(a, note), y = roll.cell(b, note);
      if ((x == 0) != (y == 0) || (x & replay_bit) != (y & replay_bit)) return false;
    }
    return true;
  };
  const auto windows_alike = [&](int64_t a, int64_t b, int64_t length) {
    for (int64_t i = 0; i < length; ++i)
      if (!alike(a + i, b + i)) return false;
    return true;
  };
  const Bars bars(roll.meters(), steps_per_quarter);
  double counted = 0, repeated = 0;
  for (int64_t step = 0; step < roll.steps(); ++step) {
    const Bars::Bar bar = bars.bar_of(step);
    const int64_t length = bar.end - bar.first, first = step + 1 - length;
    bool sounds = false, found = false;
    for (int64_t s = std::max<int64_t>(0, first); s <= step; ++s)
      for (int64_t note = 0; note < roll.notes(); ++note) sounds = sounds || roll.cell(s, note);
    if (first < 0 || !sounds) continue;
    for (int64_t earlier = 0; earlier < first; ++earlier) found = found || windows_alike(earlier, first, length);
    ++counted;
    repeated += found;
  }
  return counted > 0 ? repeated / counted : std::nan("");
}

// Phrases that come again, a change of meter within a bar, and silence.
Roll phrases(uint32_t seed, int64_t steps, bool meters) {
  std::mt19937 random(seed);
  const Roll some = chance_roll(seed, 24, 50, 4, 0.2);
  Roll roll(50, 4);
  while (roll.steps() < steps) {
    const int64_t from = random() % 24;
    std::vector<Cell> cells(4);
    for (int64_t i = 0; i < 20 && roll.steps() < steps; ++i) {
      some.row(from + i, cells);  // silence behind the end
      for (Cell& cell : cells)
        if (cell && random() % 40 == 0) cell ^= replay_bit;
      roll.append(cells);
    }
  }
  if (meters) roll.set_meters({{0, {3, 4}}, {30, {5, 16}}, {61, {4, 4}}});
  return roll;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(measures_of_repetition)

BOOST_AUTO_TEST_CASE(repetition_by_its_definition) {
  int64_t between = 0;
  for (uint32_t seed = 1; seed <= 6; ++seed)
    for (bool meters : {false, true}) {
      const Roll roll = phrases(seed, 40 + 20 * seed, meters);
      for (int64_t quarter : {1, 2, 4}) {
        const double expected = plain_repetition(roll, quarter), found = repetition(roll, quarter);
        BOOST_TEST((std::isnan(expected) ? std::isnan(found) : found == expected), found << ", expected " << expected);
        BOOST_TEST((std::isnan(expected) || measure(roll, quarter).repetition == expected));
        between += expected > 0 && expected < 1;
      }
    }
  BOOST_TEST(between > 20);
}

BOOST_AUTO_TEST_CASE(repetition_by_hand) {
  // Two bars, each note a quarter: from the 17th step on, a window of 16 steps lies whole in what came before.
  const std::vector<Played> bar = {{0, 4, 60}, {4, 4, 62}, {8, 4, 64}, {12, 4, 65}};
  std::vector<Played> twice = bar, once = bar;
  for (const Played& note : bar) twice.push_back({note.onset + 16, note.duration, note.pitch});
  for (const Played& note : bar) once.push_back({note.onset + 16, note.duration, note.pitch + 1});
  BOOST_TEST(repetition(roll_of(twice), 4) == 1.0 / 17);
  BOOST_TEST(repetition(roll_of(once), 4) == 0);
  BOOST_TEST(std::isnan(repetition(roll_of({{0, 4, 60}}, 12), 4)));
  BOOST_TEST(std::isnan(repetition(Roll(60, 3), 4)));
  BOOST_TEST(repetition(roll_of({{0, 40, 60}}), 4) == 24.0 / 25);
  BOOST_TEST(repetition(roll_of({{0, 1, 60}}, 60), 4) == 0);  // silence does not count
}

BOOST_AUTO_TEST_CASE(shares_of_matches) {
  const auto piece = std::make_shared<const Roll>(phrases(3, 200, false)),
             silent = std::make_shared<const Roll>(roll_of({}, 70));
  const std::vector<std::shared_ptr<const Roll>> rolls{piece, silent};
  MatchShares expected{};
  for (const auto& roll : rolls)
    for (const Matches& step : find_matches(*roll, 3)) {
      const int64_t k = step.exact.length;
      ++expected[k == 0 ? 0 : k == 1 ? 1 : k < 4 ? 2 : k < 8 ? 3 : k < 16 ? 4 : k < 32 ? 5 : k < 64 ? 6 : 7];
    }
  const MatchShares found = match_shares(rolls, 3);
  double sum = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    BOOST_TEST(found[i] == expected[i] / 270);
    sum += found[i];
  }
  BOOST_TEST(std::abs(sum - 1) < 1e-12);
  BOOST_TEST(found[7] > 0);
  BOOST_TEST(match_shares(rolls, 1)[0] <= found[0]);
  BOOST_TEST(std::isnan(match_shares({}, 3)[0]));
}

BOOST_AUTO_TEST_SUITE_END()
