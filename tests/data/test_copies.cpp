#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cmath>

#include "data/measures/copies.h"
#include "tests/support/rolls.h"
#include "tests/support/support.h"

using namespace poph;
using namespace poph::test;

namespace {

using Rolls = std::vector<std::shared_ptr<const Roll>>;

std::shared_ptr<const Roll> shared(Roll roll) { return std::make_shared<const Roll>(std::move(roll)); }

// A tune in which `letters` are pitches above 60, a step each; '.' is silence.
std::shared_ptr<const Roll> tune(const std::string& letters) {
  std::vector<Played> notes;
  for (size_t i = 0; i < letters.size(); ++i)
    if (letters[i] != '.') notes.push_back({static_cast<int64_t>(i), 1, 60 + letters[i] - 'a'});
  return shared(roll_of(notes, static_cast<int64_t>(letters.size()), 60, 26));
}

// The same by comparing everything with everything.
std::vector<Copied> slow_copies(const Rolls& samples, const std::vector<Piece>& pieces, int64_t bar,
                                int64_t max_shift) {
  const auto alike = [](const Roll& a, int64_t i, const Roll& b, int64_t j, int64_t shift) {
    for (int64_t n = 0; n < a.notes(); ++n)
      if ((a.cell(i, n) != 0) != (n - shift >= 0 && n - shift < b.notes() && b.cell(j, n - shift) != 0)) return false;
    return true;
  };
  std::vector<Copied> results;
  for (const auto& sample : samples) {
    Copied result;
    std::vector<bool> copied(sample->steps());
    const auto sounds = [&](int64_t step) { return sample->play_bits(step) != std::array<uint64_t, 2>{}; };
    for (int64_t i = 0; i < sample->steps(); ++i) result.sounding += sounds(i);
    for (const Piece& piece : pieces)
      for (int64_t shift = -max_shift; shift <= max_shift; ++shift)
        for (int64_t i = 0; i < sample->steps(); ++i)
          for (int64_t j = 0; j < piece.roll->steps(); ++j) {
            int64_t length = 0;
            while (i + length < sample->steps() && j + length < piece.roll->steps() &&
                   alike(*sample, i + length, *piece.roll, j + length, shift))
              ++length;
            int64_t first = i, last = i + length - 1;
            while (first <= last && !sounds(first)) ++first;
            while (first <= last && !sounds(last)) --last;
            result.longest = std::max(result.longest, last - first + 1);
            for (int64_t step = first; last - first + 1 >= bar && step <= last; ++step) copied[step] = true;
          }
    for (int64_t i = 0; i < sample->steps(); ++i) result.copied += copied[i] && sounds(i);
    results.push_back(result);
  }
  return results;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(copies)

BOOST_AUTO_TEST_CASE(by_hand) {
  const Rolls samples = {tune("abcdefgh"), tune("zzabcxx"), tune("....ab"), tune("....")};
  const std::vector<Piece> pieces = {
      {"first", tune("kkabcdk")}, {"second", tune("bcdefghq")}, {"silent", tune("......")}};
  const auto found = find_copies(samples, pieces, 4, 0);
  BOOST_TEST(found[0].longest == 7);
  BOOST_TEST(found[0].of == "second");
  BOOST_TEST(found[0].sounding == 8);
  BOOST_TEST(found[0].copied == 8);  // abcd of the first, bcdefgh of the second
  BOOST_TEST(found[0].share() == 1);
  BOOST_TEST(found[1].longest == 3);
  BOOST_TEST(found[1].of == "first");
  BOOST_TEST(found[1].copied == 0);   // less than a bar
  BOOST_TEST(found[2].longest == 2);  // not the silence
  BOOST_TEST(found[2].sounding == 2);
  BOOST_TEST(found[3].longest == 0);
  BOOST_TEST(found[3].of == "");
  BOOST_TEST(std::isnan(found[3].share()));
  const Copied all = together(found);
  BOOST_TEST(all.longest == 7);
  BOOST_TEST(all.of == "second");
  BOOST_TEST(all.sounding == 17);
  BOOST_TEST(all.copied == 8);
}

BOOST_AUTO_TEST_CASE(a_part_of_what_another_sample_copies) {
  const auto found = find_copies(Rolls{tune("xabq"), tune("yabr")}, std::vector<Piece>{{"piece", tune("xab")}}, 2, 0);
  BOOST_TEST(found[0].longest == 3);
  BOOST_TEST(found[1].longest == 2);
  BOOST_TEST(found[1].of == "piece");
  BOOST_TEST(found[1].copied == 2);
}

BOOST_AUTO_TEST_CASE(silence_within_a_run_belongs_to_it) {
  const Rolls samples = {tune("x..ab..cd...y")};
  const auto found = find_copies(samples, std::vector<Piece>{{"piece", tune("q...ab..cd....")}}, 6, 0);
  BOOST_TEST(found[0].longest == 6);
  BOOST_TEST(found[0].sounding == 6);
  BOOST_TEST(found[0].copied == 4);
  BOOST_TEST(find_copies(samples, std::vector<Piece>{{"piece", tune("q...ab..cd....")}}, 7, 0)[0].copied == 0);
}

BOOST_AUTO_TEST_CASE(replays_and_volumes_do_not_matter) {
  const auto held = shared(roll_of({{0, 8, 60}}, 0, 60, 26)),
             struck = shared(roll_of({{0, 4, 60}, {4, 4, 60}}, 0, 60, 26));
  BOOST_TEST(find_copies(Rolls{held}, std::vector<Piece>{{"struck", struck}}, 16, 0)[0].longest == 8);
}

BOOST_AUTO_TEST_CASE(transposed_as_in_training) {
  const Rolls samples = {tune("cdefgab")};
  const std::vector<Piece> pieces = {{"two above", tune("efghicd")}};
  BOOST_TEST(find_copies(samples, pieces, 16, 0)[0].longest == 3);  // efg
  BOOST_TEST(find_copies(samples, pieces, 16, 1)[0].longest == 4);  // defg
  BOOST_TEST(find_copies(samples, pieces, 16, 2)[0].longest == 7);
  // A note that leaves the range is dropped, and what is left may be alike.
  const auto low = shared(roll_of({{0, 20, 60}, {0, 20, 70}}, 0, 60, 26)),
             rest = shared(roll_of({{0, 20, 69}}, 0, 60, 26));
  BOOST_TEST(find_copies(Rolls{rest}, std::vector<Piece>{{"low", low}}, 16, 1)[0].longest == 20);
  const auto high = shared(roll_of({{0, 20, 85}, {0, 20, 70}}, 0, 60, 26)),
             other = shared(roll_of({{0, 20, 71}}, 0, 60, 26));
  BOOST_TEST(find_copies(Rolls{other}, std::vector<Piece>{{"high", high}}, 16, 1)[0].longest == 20);
}

BOOST_AUTO_TEST_CASE(as_by_comparing_everything) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const int64_t notes = seed % 3 == 0 ? 70 : 3, shift = seed % 3;
    const double density = notes == 3 ? 0.3 : 0.01;
    Rolls samples;
    std::vector<Piece> pieces;
    for (uint32_t i = 0; i < 3; ++i)
      samples.push_back(shared(chance_roll(seed * 10 + i, 30 + 7 * i, 40, notes, density)));
    for (uint32_t i = 0; i < 4; ++i)
      pieces.push_back({"piece", shared(chance_roll(seed * 10 + 5 + i, 20 + 11 * i, 40, notes, density))});
    const auto found = find_copies(samples, pieces, 5, shift), expected = slow_copies(samples, pieces, 5, shift);
    for (size_t i = 0; i < samples.size(); ++i) {
      BOOST_TEST(found[i].longest == expected[i].longest);
      BOOST_TEST(found[i].sounding == expected[i].sounding);
      BOOST_TEST(found[i].copied == expected[i].copied);
    }
  }
}

BOOST_AUTO_TEST_CASE(time_grows_as_the_corpus_does) {
  // One chord for ever, the worst for what compares every place with every other: 1,000 x 100,000 steps.
  const auto seconds = [](int64_t steps) {
    const Rolls samples = {shared(roll_of({{0, 1000, 60}}, 0, 60, 12)), shared(chance_roll(1, 1000, 60, 12, 0.2))};
    const std::vector<Piece> pieces = {{"long", shared(roll_of({{0, steps, 60}}, 0, 60, 12))},
                                       {"chance", shared(chance_roll(2, steps, 60, 12, 0.2))}};
    const auto start = std::chrono::steady_clock::now();
    BOOST_TEST(find_copies(samples, pieces, 16, 0)[0].longest == 1000);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  BOOST_TEST(seconds(100'000) < 2);  // 0.05 s; 2e8 comparisons of chords would be 10 s
}

BOOST_AUTO_TEST_CASE(other_ranges_are_refused) {
  BOOST_TEST(message_of([] {
               find_copies(Rolls{tune("abc")}, std::vector<Piece>{{"x", shared(roll_of({{0, 1, 60}}))}}, 16, 0);
             }) == "copies: a piece of notes 0 and 127 above, expected 60 and 25 above as in the samples");
}

BOOST_AUTO_TEST_SUITE_END()
