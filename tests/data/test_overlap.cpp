#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "data/measures/overlap.h"
#include "tests/support/rolls.h"

using namespace poph;
using namespace poph::test;

namespace {

using Rolls = std::vector<std::shared_ptr<const Roll>>;
std::shared_ptr<const Roll> shared(Roll roll) { return std::make_shared<const Roll>(std::move(roll)); }

double area(std::vector<double> a, std::vector<double> b) { return overlap_area(a, b); }

}  // namespace

BOOST_AUTO_TEST_SUITE(overlap)

BOOST_AUTO_TEST_CASE(areas_as_scipy_has_them) {
  // scipy 1.17.1: integrate.quad of min(gaussian_kde(a), gaussian_kde(b)) from -60 to 60. Ours leaves out the ends of
  // the tails.
  BOOST_TEST(std::abs(area({1, 2, 4, 7}, {2, 3, 3.5, 9, 11}) - 0.7508922555264633) < 2e-3);
  BOOST_TEST(std::abs(area({1, 2, 3}, {1, 2, 3}) - 1) < 4e-3);
  // 0.166 with n^-0.25 for Scott's n^-0.2
  BOOST_TEST(std::abs(area({0, 1, 2, 3}, {4, 5, 6, 7, 8}) - 0.17990626744195135) < 1e-3);
  BOOST_TEST(std::abs(area({0, 1, 2, 3, 4, 5, 6, 7}, {3, 3.1, 3.2}) - 0.07736005298941254) < 2e-3);
  BOOST_TEST(area({0, .1, .2, .3}, {20, 21, 22}) < 1e-12);
  BOOST_TEST(area({1, 2, 4, 7}, {2, 3, 3.5, 9, 11}) == area({2, 3, 3.5, 9, 11}, {1, 2, 4, 7}));
  BOOST_TEST(std::isnan(area({1}, {1, 2})));
  BOOST_TEST(std::isnan(area({1, 2}, {})));
  BOOST_TEST(std::isnan(area({0.1, 0.1, 0.1}, {1, 2})));
}

BOOST_AUTO_TEST_CASE(features_by_hand) {
  // C for a quarter; E and G for an eighth and a dotted eighth from step 4 on; C an octave above at step 6 for a half.
  const auto found = features(roll_of({{0, 4, 60}, {4, 2, 64}, {4, 3, 67}, {6, 8, 72}}), 4);
  const auto one = [&](size_t f) { return found[f].at(0); };
  BOOST_TEST(one(0) == 4);
  BOOST_TEST(one(1) == 4);
  BOOST_TEST(found[2][0] == 12.0 / 17);
  BOOST_TEST(found[2][4] == 2.0 / 17);
  BOOST_TEST(found[2][7] == 3.0 / 17);
  std::vector<double> transitions(144);
  transitions[0 * 12 + 4] = transitions[0 * 12 + 7] = 1;  // where C ends E and G begin
  transitions[4 * 12 + 0] = 1;                            // where E ends the upper C begins; G ends alone
  BOOST_TEST(found[3] == transitions, boost::test_tools::per_element());
  BOOST_TEST(one(4) == 12);
  BOOST_TEST(one(5) == (4 + 3 + 5) / 3.0);
  BOOST_TEST(one(6) == 2.0);
  const std::vector<double> lengths = {0, .25, .25, .25, 0, 0, 0, .25, 0, 0, 0, 0};
  BOOST_TEST(found[7] == lengths, boost::test_tools::per_element());
  std::vector<double> pairs(144);
  pairs[2 * 12 + 3] = pairs[3 * 12 + 7] = pairs[7 * 12 + 1] = 1;
  BOOST_TEST(found[8] == pairs, boost::test_tools::per_element());
  // Halves of a step at eight steps a quarter are 32nds, nearest to a 16th's 6 or a triplet 8th's 8 of 96; five 8ths
  // are a half.
  BOOST_TEST(features(roll_of({{0, 1, 60}}), 8)[7][4] == 1);
  BOOST_TEST(features(roll_of({{0, 9, 60}}), 4)[7][1] == 1);
  BOOST_TEST(features(roll_of({{0, 99, 60}}), 4)[7][0] == 1);
  for (const auto& feature : features(Roll(0, 128), 4)) BOOST_TEST(feature.empty());
  BOOST_TEST(features(roll_of({{0, 1, 60}}), 4)[6].empty());
}

BOOST_AUTO_TEST_CASE(like_music_overlaps_and_other_music_does_not) {
  Rolls references, alike, apart;
  for (uint32_t i = 0; i < 12; ++i) {
    references.push_back(shared(chance_roll(i, 64, 48, 24, 0.05 + 0.005 * i)));
    alike.push_back(shared(chance_roll(100 + i, 64, 48, 24, 0.05 + 0.005 * i)));
    apart.push_back(shared(chance_roll(200 + i, 64, 36, 48, 0.5)));
  }
  const auto near = overlap_areas(alike, references, 4), far = overlap_areas(apart, references, 4);
  double mean_near = 0, mean_far = 0;
  for (size_t f = 0; f < near.size(); ++f) {
    BOOST_TEST(near[f] > 0.6, feature_names[f] << " " << near[f]);
    BOOST_TEST(near[f] < 1.0001);
    mean_near += near[f] / 9;
    mean_far += far[f] / 9;
  }
  BOOST_TEST(mean_near > 0.75);
  BOOST_TEST(mean_far < 0.3);
  for (double x : overlap_areas(alike, Rolls{references[0]}, 4)) BOOST_TEST(std::isnan(x));
}

BOOST_AUTO_TEST_CASE(excerpts_of_pieces) {
  const Rolls pieces = {shared(roll_of({{0, 40, 60}, {30, 10, 62}})), shared(roll_of({{0, 5, 60}})),
                        shared(roll_of({{0, 24, 60}}))};
  const Rolls parts = excerpts(pieces, 16, 100);
  std::vector<int64_t> lengths;
  for (const auto& part : parts) lengths.push_back(part->steps());
  const std::vector<int64_t> expected = {16, 16, 8, 5, 16, 8};
  BOOST_TEST(lengths == expected, boost::test_tools::per_element());
  BOOST_TEST(note_spans(*parts[1]).size() == 2);
  BOOST_TEST(note_spans(*parts[2])[0].end == 8);
  BOOST_TEST(excerpts(pieces, 17, 100).size() == 4);  // of 24 steps the last 7 are less than half
  const Rolls some = excerpts(pieces, 16, 3);
  BOOST_TEST(some.size() == 3);
  BOOST_TEST((*some[0] == *parts[0] && *some[1] == *parts[2] && *some[2] == *parts[4]));
  // A note that the cut goes through begins anew, without a replay that nothing comes before.
  const Roll struck = roll_of({{0, 16, 60}, {16, 16, 60}});
  BOOST_TEST(excerpts(Rolls{shared(struck)}, 16, 9)[1]->replays() == 0);
  const Rolls all = {pieces[0], pieces[1], pieces[2], pieces[0]};
  BOOST_TEST(pick_evenly(all, 2).size() == 2);
  BOOST_TEST((pick_evenly(all, 2)[1] == pieces[2] && pick_evenly(all, 9).size() == 4));
}

BOOST_AUTO_TEST_SUITE_END()
