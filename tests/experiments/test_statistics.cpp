#include <boost/test/unit_test.hpp>
#include <cmath>

#include "experiments/report/statistics.h"
#include "tests/support/support.h"

// Expected numbers: scipy 1.17.1 (stats.t, stats.permutation_test), or worked out by hand where it says so.
using namespace poph;
using namespace poph::test;

namespace {

const std::vector<double> ours = {0.1012, 0.0987, 0.1103, 0.0954, 0.1048, 0.1021},
                          theirs = {0.1030, 0.1001, 0.1099, 0.0990, 0.1077, 0.1060};

PairedDifference against_zero(const std::vector<double>& numbers) {
  return paired_difference(numbers, std::vector<double>(numbers.size()));
}

// A loss for each epoch; epoch k took k * pace seconds in all.
LossCurve curve(std::vector<double> loss, double pace) {
  LossCurve made{std::move(loss), {}};
  for (size_t i = 0; i < made.loss.size(); ++i) made.seconds.push_back(pace * static_cast<double>(i + 1));
  return made;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(statistics, *boost::unit_test::tolerance(1e-9))

BOOST_AUTO_TEST_CASE(quantiles) {
  const std::pair<double, double> expected[] = {{1, 12.706204736174694},
                                                {2, 4.302652729749462},
                                                {4, 2.7764451051977934},
                                                {5, 2.5705818356363146},
                                                {30, 2.0422724563012378}};
  for (const auto& [degrees, quantile] : expected) BOOST_TEST(student_t_quantile(0.975, degrees) == quantile);
  BOOST_TEST(student_t_quantile(0.025, 5) == -student_t_quantile(0.975, 5));
}

BOOST_AUTO_TEST_CASE(intervals) {
  const Interval found = mean_interval(ours);
  BOOST_TEST(found.count == 6);
  BOOST_TEST(found.mean == 0.10208333333333332);
  BOOST_TEST(found.low == 0.09669556032935248);
  BOOST_TEST(found.high == 0.10747110633731416);
  const Interval one = mean_interval(std::vector<double>{3});
  BOOST_TEST(one.mean == 3.0);
  BOOST_TEST((std::isnan(one.low) && std::isnan(one.high)));
  BOOST_TEST((std::isnan(mean_interval({}).mean) && mean_interval({}).count == 0));
  BOOST_TEST(mean_interval(std::vector<double>{2, 2, 2}).low == 2.0);
}

BOOST_AUTO_TEST_CASE(paired) {
  const PairedDifference found = paired_difference(ours, theirs);
  BOOST_TEST(found.difference.mean == -0.0022);
  BOOST_TEST(found.difference.low == -0.003885643235887254);
  BOOST_TEST(found.difference.high == -0.0005143567641127471);
  BOOST_TEST(found.p == 0.0625);
  BOOST_TEST(found.sign_flips == 64);
  BOOST_TEST(found.exact);
  BOOST_TEST(paired_difference(theirs, ours).p == found.p);
  BOOST_TEST(against_zero({3, -1, 2.5, 4, -0.5, 1.5, 2}).p == 10.0 / 128);
  BOOST_TEST(against_zero({1, 2, 3, 4, 5, 6}).p == 2.0 / 64);  // the minimum with six
  BOOST_TEST(against_zero({1, 2, 3, 4, 5}).p == 2.0 / 32);     // and five
  BOOST_TEST(against_zero({0.3, -0.1, -0.2}).p == 1.0);        // by hand: the sum is 0, but for rounding
  BOOST_TEST(against_zero({0.1, 0.2, -0.3, 0.6}).p ==
             10.0 / 16);  // by hand: +0.6 where the rest is not below 0, five ways, and opposites
  // by hand: no signs bring the sum nearer than 0.2, but for rounding
  BOOST_TEST(against_zero({-0.9, 0.5, -0.1, -0.2, 0.9}).p == 1.0);
  BOOST_TEST(against_zero({0, 0, 0}).p == 1.0);
  BOOST_TEST(against_zero({5}).p == 1.0);
  BOOST_TEST(std::isnan(against_zero({}).p));
  BOOST_TEST(std::isnan(against_zero({1, std::nan("")}).p));
  BOOST_TEST(message_of([] { paired_difference(ours, std::vector<double>{1}); }) ==
             "paired difference: 6 numbers beside 1, expected as many");
}

BOOST_AUTO_TEST_CASE(many_pairs_are_sampled) {
  const std::vector<double> many = {2.441,  -2.156, 0.818, -0.168, -0.053, 0.184,  -1.62,  0.168,
                                    -0.465, 3.723,  0.626, 0.047,  0.119,  -0.268, -0.655, 0.009,
                                    0.882,  0.161,  1.358, 0.2,    0.424,  1.946,  0.945,  -0.105};
  const PairedDifference found = against_zero(many);
  BOOST_TEST(!found.exact);
  BOOST_TEST(found.sign_flips == 1'000'000);
  BOOST_TEST(std::abs(found.p - 0.16470026969909668) < 0.002);  // all 2^24, by numpy; a standard error is 0.0004
  BOOST_TEST(found.p == against_zero(many).p);
  const std::vector<double> twenty(many.begin(), many.begin() + 20);
  BOOST_TEST(against_zero(twenty).exact);
  BOOST_TEST(against_zero(twenty).sign_flips == 1 << 20);
  BOOST_TEST(against_zero(std::vector<double>(70, 1.0)).p == 1.0 / 1'000'001);
}

BOOST_AUTO_TEST_CASE(reaching_the_baseline) {
  // The baseline is at its lowest after 4, 2 and 5 epochs; ours is as low after 2, 2 and never.
  const std::vector<LossCurve> baselines = {curve({9, 8, 7, 5, 6}, 1), curve({4, 3, 3}, 1), curve({9, 8, 7, 6, 5}, 1)};
  const std::vector<LossCurve> runs = {curve({9, 4, 5}, 3), curve({8, 3, 1}, 3), curve({9, 8, 7, 6, 5.1, 5.01}, 3)};
  const Reach found = reach(runs, baselines);
  BOOST_TEST(found.seeds == 3);
  BOOST_TEST(found.reached == 2);
  BOOST_TEST(found.never == 1);
  BOOST_TEST(found.epochs.count == 2);
  BOOST_TEST(found.epochs.mean == std::sqrt(0.5 * 1));   // by hand
  BOOST_TEST(found.seconds.mean == std::sqrt(1.5 * 3));  // 6 s to 4 s, 6 s to 2 s
  BOOST_TEST(reach(baselines, baselines).epochs.mean == 1.0);
  BOOST_TEST(reach(baselines, baselines).epochs.low == 1.0);
  // 72 epochs to 100, 80 to 95, 60 to 90: the interval by scipy, of the logarithms.
  std::vector<LossCurve> slow, fast;
  for (const auto& [sooner, later] : {std::pair{72, 100}, {80, 95}, {60, 90}}) {
    slow.push_back(curve(std::vector<double>(later, 2.0), 1));
    fast.push_back(curve(std::vector<double>(sooner, 2.0), 1));
    slow.back().loss.back() = fast.back().loss.back() = 1;
  }
  const Reach ratio = reach(fast, slow);
  BOOST_TEST(ratio.epochs.mean == 0.73938257, boost::test_tools::tolerance(1e-7));
  BOOST_TEST(ratio.epochs.low == 0.55008652, boost::test_tools::tolerance(1e-7));
  BOOST_TEST(ratio.epochs.high == 0.99381927, boost::test_tools::tolerance(1e-7));
  BOOST_TEST((reach({}, {}).seeds == 0 && std::isnan(reach({}, {}).epochs.mean)));
  // a baseline without an epoch
  BOOST_TEST(reach(std::vector<LossCurve>{curve({1}, 1)}, std::vector<LossCurve>(1)).seeds == 0);
}

BOOST_AUTO_TEST_SUITE_END()
