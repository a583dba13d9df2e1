#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "data/measures/not_known.h"

// Statistics of runs that differ in their seed alone: means with intervals, paired differences, and how soon a run is
// as good as another.
namespace poph {

// A mean and the interval that holds the true one with 95 % (Student's t, count - 1 degrees of freedom: the numbers are
// taken for independent and normal). One number alone has no interval.
struct Interval {
  int64_t count = 0;
  double mean = 0, low = 0, high = 0;
};
Interval mean_interval(std::span<const double> numbers);

// The quantile of Student's t distribution: the number below which a value lies with probability p.
double student_t_quantile(double p, double degrees_of_freedom);

// A configuration against the baseline on the same seeds.
struct PairedDifference {
  Interval difference;  // of one minus the other, pair by pair
  // Of a permutation test with random signs (Fisher 1935): of all 2^n ways to give each difference a sign, the share in
  // which the mean is at least as far from 0 as it is. Two-sided; the only assumption is that under "no difference" the
  // two numbers of a pair could be exchanged. With n pairs p is at least 2 / 2^n: 0.0625 for 5, 0.03125 for 6.
  double p = 0;
  int64_t sign_flips = 0;  // ways that were tried
  // All ways. From 21 pairs on: a million random ways, the same ones each time, and p = (hits + 1) / (tries + 1).
  bool exact = true;
};
// Both of the same seeds in the same order.
PairedDifference paired_difference(std::span<const double> numbers, std::span<const double> baseline);

// The validation loss of a run by epoch, from the first on, and the seconds of training up to each.
struct LossCurve {
  std::vector<double> loss, seconds;
};

// How soon runs are as good as the baseline's best. For each seed the target is the lowest loss of the baseline's run
// with that seed; a run reaches it at its first epoch with a loss that is no higher (the baseline itself: its first
// epoch with its lowest loss). The ratio is the run's epochs over the baseline's; below 1 is sooner. Mean and interval
// are those of the ratios' logarithms, so the mean is geometric. A seed that never reaches the target has no ratio:
// such seeds are the slow ones, so the mean is too low where there are any.
struct Reach {
  int64_t seeds = 0, reached = 0, never = 0;
  Interval epochs, seconds;  // ratios, over the seeds that reach it
};
// Both of the same seeds in the same order.
Reach reach(std::span<const LossCurve> runs, std::span<const LossCurve> baselines);

}  // namespace poph
