#include "experiments/comparison.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace poph {
namespace {

double sum_of(const EpochLosses& losses, const std::vector<std::string>& parts) {
  double sum = 0;
  for (const std::string& part : parts) {
    const auto found = losses.parts.find(part);
    if (found != losses.parts.end())
      sum += found->second;
    else if (part == "total" || part == "play")
      return not_known;  // the others are absent where only notes are learnt
  }
  return sum;
}

// Runs of one seed side by side: the baseline's and this configuration's.
using Pairs = std::vector<std::pair<const RunRecord*, const RunRecord*>>;
Pairs pairs_of(const RunSet& set, const Configuration& configuration) {
  const Configuration& baseline = set.baseline();
  Pairs pairs;
  if (configuration.baseline || !configuration.autoregressive || !baseline.autoregressive ||
      configuration.league != baseline.league)
    return pairs;
  std::set<uint64_t> seen;  // a seed that was run twice counts once
  for (const RunRecord* run : configuration.finished()) {
    if (!seen.insert(run->seed).second) continue;
    for (const RunRecord* other : baseline.finished())
      if (other->seed == run->seed) {
        pairs.emplace_back(other, run);
        break;
      }
  }
  return pairs;
}

LossCurve curve_of(const RunRecord& run, const std::vector<std::string>& parts) {
  LossCurve curve;
  for (const EpochLosses& losses : run.judged()) {
    curve.loss.push_back(sum_of(losses, parts));
    curve.seconds.push_back(losses.seconds);
  }
  return curve;
}

}  // namespace

std::vector<std::string> leagues(const RunSet& set) {
  std::vector<std::string> found;
  for (const Configuration& one : set.configurations)
    if (std::find(found.begin(), found.end(), one.league) == found.end()) found.push_back(one.league);
  return found;
}

std::vector<std::string> compared_parts(const RunSet& set) {
  const bool same = std::none_of(set.settings.begin(), set.settings.end(),
                                 [](const std::string& key) { return key.starts_with("loss.harmony."); });
  return same ? std::vector<std::string>{"total"} : std::vector<std::string>{"play", "replay", "volume"};
}

std::string compared_name(const RunSet& set) { return compared_parts(set).size() == 1 ? "total loss" : "play + replay + volume"; }

std::vector<const Configuration*> members(const RunSet& set, const std::string& league) {
  std::vector<const Configuration*> found;
  for (const Configuration& one : set.configurations)
    if (one.league == league) found.push_back(&one);
  return found;
}

PerRun loss_at_best(std::vector<std::string> parts) {
  return [parts = std::move(parts)](const RunRecord& run) {
    const EpochLosses* best = run.best();
    return best ? sum_of(*best, parts) : not_known;
  };
}

PerRun loss_part(const std::string& part) {
  return [part](const RunRecord& run) {
    const EpochLosses* best = run.best();
    const auto found = best ? best->parts.find(part) : decltype(best->parts.end()){};
    return best && found != best->parts.end() ? found->second : not_known;
  };
}

PerRun at(const std::string& path) {
  return [path](const RunRecord& run) { return number_at(run, path); };
}

std::vector<double> values_of(const Configuration& configuration, const PerRun& value) {
  std::vector<double> values;
  for (const RunRecord* run : configuration.finished()) values.push_back(value(*run));
  return values;
}

Quantity quantity(const Interval& interval) { return {interval.mean, interval.low, interval.high, interval.count}; }

Quantity mean_quantity(const std::vector<double>& values) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite), [](double x) { return std::isfinite(x); });
  return finite.empty() ? Quantity() : quantity(mean_interval(finite));
}

Difference difference(const RunSet& set, const Configuration& configuration, const PerRun& value) {
  std::vector<double> before, after;
  for (const auto& [other, run] : pairs_of(set, configuration)) {
    const double a = value(*other), b = value(*run);
    if (!std::isfinite(a) || !std::isfinite(b)) continue;
    before.push_back(a);
    after.push_back(b);
  }
  if (before.empty()) return {};
  const PairedDifference found = paired_difference(after, before);
  return {quantity(found.difference), before.size() > 1 ? found.p : not_known};
}

Reach reached(const RunSet& set, const Configuration& configuration) {
  const std::vector<std::string> parts = compared_parts(set);
  std::vector<LossCurve> before, after;
  for (const auto& [other, run] : pairs_of(set, configuration)) {
    before.push_back(curve_of(*other, parts));
    after.push_back(curve_of(*run, parts));
  }
  return reach(after, before);
}

std::vector<int> ranks(const std::vector<const Configuration*>& configurations, const PerRun& loss) {
  std::vector<double> means;
  for (const Configuration* one : configurations)
    means.push_back(one->autoregressive ? mean_quantity(values_of(*one, loss)).value : not_known);
  std::vector<int> result;
  for (double mean : means) {
    const auto better = std::count_if(means.begin(), means.end(), [&](double other) { return other < mean; });
    result.push_back(std::isfinite(mean) ? static_cast<int>(better) + 1 : 0);
  }
  return result;
}

}  // namespace poph
