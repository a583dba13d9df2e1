#include "experiments/report/statistics.h"

#include <algorithm>
#include <bit>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <numeric>
#include <random>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr int64_t max_exact_pairs = 20, sampled_flips = 1'000'000;

// Of all 2^n ways to give the numbers signs, counts those whose sum is at least `limit` from 0. Each way differs from
// the one before in one sign (a Gray code). The last number keeps its sign: the other half has the same sums, negated.
int64_t count_all_flips(std::vector<double> numbers, double limit) {
  const auto n = static_cast<int>(numbers.size());
  double sum = std::accumulate(numbers.begin(), numbers.end(), 0.0);
  int64_t hits = std::abs(sum) >= limit;
  for (uint64_t code = 1; code < uint64_t{1} << (n - 1); ++code) {
    double& number = numbers[std::countr_zero(code)];
    sum -= 2 * number;
    number = -number;
    hits += std::abs(sum) >= limit;
  }
  return 2 * hits;
}

int64_t count_some_flips(std::span<const double> numbers, double limit) {
  std::mt19937_64 random(1);
  int64_t hits = 0;
  for (int64_t i = 0; i < sampled_flips; ++i) {
    double sum = 0;
    uint64_t signs = 0;
    for (size_t k = 0; k < numbers.size(); ++k, signs >>= 1) {
      if (k % 64 == 0) signs = random();
      sum += signs & 1 ? numbers[k] : -numbers[k];
    }
    hits += std::abs(sum) >= limit;
  }
  return hits;
}

// The first epoch, counted from 1, with a loss that is no higher; 0: none.
int64_t first_epoch(const LossCurve& curve, double target) {
  const auto at = std::find_if(curve.loss.begin(), curve.loss.end(), [&](double loss) { return loss <= target; });
  return at == curve.loss.end() ? 0 : at - curve.loss.begin() + 1;
}

Interval geometric(const std::vector<double>& logarithms) {
  const Interval of_logarithms = mean_interval(logarithms);
  return {of_logarithms.count, std::exp(of_logarithms.mean), std::exp(of_logarithms.low), std::exp(of_logarithms.high)};
}

}  // namespace

double student_t_quantile(double p, double degrees_of_freedom) {
  return boost::math::quantile(boost::math::students_t(degrees_of_freedom), p);
}

Interval mean_interval(std::span<const double> numbers) {
  const auto n = static_cast<double>(numbers.size());
  Interval result{std::ssize(numbers), not_known, not_known, not_known};
  if (numbers.empty()) return result;
  result.mean = std::accumulate(numbers.begin(), numbers.end(), 0.0) / n;
  if (numbers.size() < 2) return result;
  double squares = 0;
  for (double x : numbers) squares += (x - result.mean) * (x - result.mean);
  const double half = student_t_quantile(0.975, n - 1) * std::sqrt(squares / (n - 1) / n);
  result.low = result.mean - half;
  result.high = result.mean + half;
  return result;
}

PairedDifference paired_difference(std::span<const double> numbers, std::span<const double> baseline) {
  require(numbers.size() == baseline.size(), "paired difference: ", numbers.size(), " numbers beside ", baseline.size(),
          ", expected as many");
  std::vector<double> differences;
  double size = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    differences.push_back(numbers[i] - baseline[i]);
    size += std::abs(differences.back());
  }
  PairedDifference result{mean_interval(differences), not_known, 0, true};
  if (differences.empty() || std::isnan(size)) return result;
  // Sums that are equal but for rounding count as equal.
  const double limit = std::abs(std::accumulate(differences.begin(), differences.end(), 0.0)) - 1e-12 * size;
  result.exact = std::ssize(differences) <= max_exact_pairs;
  result.sign_flips = result.exact ? int64_t{1} << differences.size() : sampled_flips;
  const int64_t hits = result.exact ? count_all_flips(differences, limit) : count_some_flips(differences, limit);
  const int64_t itself = result.exact ? 0 : 1;
  result.p = static_cast<double>(hits + itself) / static_cast<double>(result.sign_flips + itself);
  return result;
}

Reach reach(std::span<const LossCurve> runs, std::span<const LossCurve> baselines) {
  require(runs.size() == baselines.size(), "reach: ", runs.size(), " runs beside ", baselines.size(),
          " of the baseline, expected as many");
  Reach result;
  std::vector<double> epochs, seconds;
  for (size_t i = 0; i < runs.size(); ++i) {
    if (baselines[i].loss.empty()) continue;
    ++result.seeds;
    const double target = *std::min_element(baselines[i].loss.begin(), baselines[i].loss.end());
    const int64_t ours = first_epoch(runs[i], target), theirs = first_epoch(baselines[i], target);
    if (ours == 0) {
      ++result.never;
      continue;
    }
    ++result.reached;
    epochs.push_back(std::log(static_cast<double>(ours) / static_cast<double>(theirs)));
    seconds.push_back(std::log(runs[i].seconds.at(ours - 1) / baselines[i].seconds.at(theirs - 1)));
  }
  result.epochs = geometric(epochs);
  result.seconds = geometric(seconds);
  return result;
}

}  // namespace poph
