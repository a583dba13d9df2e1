#pragma once
#include <cstdint>
#include <span>
#include <vector>

// What can be said of runs that differ in their seed alone. Numbers that cannot be had are NaN.
namespace poph {

// A mean and the interval that holds the true one with 95 % (Student's t, count - 1 degrees of freedom: the numbers are taken for
// independent and normal). One number alone has no interval.
struct Interval {
  int64_t count = 0;
  double mean = 0, low = 0, high = 0;
};
Interval mean_interval(std::span<const double> numbers);

// The quantile of Student's t distribution: a number below which it lies with probability p.
double student_t_quantile(double p, double degrees_of_freedom);

// A configuration against the baseline on the same seeds.
struct PairedDifference {
  Interval difference;  // of one minus the other, pair by pair
  // Of a permutation test with random signs (Fisher 1935): the share of all 2^n ways to give each difference a sign in which the
  // mean is at least as far from 0 as it is. Two-sided and without any assumption but that under "no difference" a pair's two
  // numbers could be exchanged. With n pairs it cannot fall below 2 / 2^n: 0.0625 for 5, 0.03125 for 6.
  double p = 0;
  int64_t sign_flips = 0;  // that were tried
  bool exact = true;  // all of them; from 21 pairs on a million by chance, always the same ones, and p = (hits + 1) / (tries + 1)
};
PairedDifference paired_difference(std::span<const double> numbers,
                                   std::span<const double> baseline);  // of the same seeds, in order

// A run's validation loss, and the seconds of training until then, by epoch from the first on.
struct LossCurve {
  std::vector<double> loss, seconds;
};

// How soon runs get as far as the baseline ever did. For each seed: the target is the lowest loss of the baseline's run with that
// seed; a run reaches it at its first epoch with a loss that is no higher (the baseline's own: the first at its lowest). The
// ratio is the run's epochs to the baseline's; below 1 is sooner. Mean and interval are those of the ratios' logarithms, so the
// mean is geometric. Seeds that never reach it have no ratio: as they are the slow ones, the mean is too low where there are any.
struct Reach {
  int64_t seeds = 0, reached = 0, never = 0;
  Interval epochs, seconds;  // ratios, of the seeds that reach it
};
Reach reach(std::span<const LossCurve> runs, std::span<const LossCurve> baselines);  // of the same seeds, in order

}  // namespace poph
