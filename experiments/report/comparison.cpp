#include "experiments/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tensor/error.h"

namespace poph {
namespace {

double value_of(const EpochLosses& losses, const LossPart& part) {
  const auto found = losses.parts.find(part.name);
  return found == losses.parts.end() ? not_known : found->second;
}

double sum_of(const EpochLosses& losses, const LossParts& parts) {
  double sum = 0;
  for (const LossPart& part : parts)
    if (const double value = value_of(losses, part); !std::isnan(value) || !part.whole_notes_only) sum += value;
  return sum;
}

// Runs of one seed side by side: the baseline's and this configuration's.
using Pairs = std::vector<std::pair<const Run*, const Run*>>;
Pairs pairs_of(const RunSet& set, const Configuration& configuration) {
  const Configuration& baseline = set.baseline();
  Pairs pairs;
  if (configuration.baseline || !configuration.autoregressive || !baseline.autoregressive ||
      configuration.group != baseline.group)
    return pairs;
  std::set<uint64_t> seen;  // a seed that was run twice counts once
  for (const Run* run : configuration.finished()) {
    if (!seen.insert(run->seed).second) continue;
    for (const Run* other : baseline.finished())
      if (other->seed == run->seed) {
        pairs.emplace_back(other, run);
        break;
      }
  }
  return pairs;
}

LossCurve curve_of(const Run& run, const LossParts& parts) {
  LossCurve curve;
  for (const EpochLosses& losses : run.judged()) {
    curve.loss.push_back(sum_of(losses, parts));
    curve.seconds.push_back(losses.seconds);
  }
  return curve;
}

}  // namespace

std::vector<std::string> comparison_groups(const RunSet& set) {
  std::vector<std::string> found;
  for (const Configuration& one : set.configurations)
    if (std::find(found.begin(), found.end(), one.group) == found.end()) found.push_back(one.group);
  return found;
}

LossParts compared_parts(const RunSet& set) {
  const auto differs = [&](const LossPart& part) {
    const std::string section = joined("loss.", part.name, ".");
    return part.weight && std::any_of(set.settings.begin(), set.settings.end(),
                                      [&](const std::string& key) { return key.starts_with(section); });
  };
  const LossPart& total = loss_parts[static_cast<size_t>(Loss::total)];
  if (std::none_of(std::begin(loss_parts), std::end(loss_parts), differs)) return {total};
  LossParts unweighted;
  for (const LossPart& part : loss_parts)
    if (!part.weight && part.loss != Loss::total) unweighted.push_back(part);
  return unweighted;
}

std::string compared_name(const RunSet& set) {
  const LossParts parts = compared_parts(set);
  if (parts.front().loss == Loss::total) return "total loss";
  std::string name;
  for (const LossPart& part : parts) name += (name.empty() ? "" : " + ") + std::string(part.name);
  return name;
}

std::vector<const Configuration*> members(const RunSet& set, const std::string& group) {
  std::vector<const Configuration*> found;
  for (const Configuration& one : set.configurations)
    if (one.group == group) found.push_back(&one);
  return found;
}

PerRun loss_at_best(LossParts parts) {
  return [parts = std::move(parts)](const Run& run) {
    const EpochLosses* best = run.best();
    return best ? sum_of(*best, parts) : not_known;
  };
}

PerRun loss_part(const LossPart& part) {
  return [part](const Run& run) {
    const EpochLosses* best = run.best();
    return best ? value_of(*best, part) : not_known;
  };
}

double valid_likelihood(const Run& run) {
  const auto& likelihood = run.record.log_likelihood.valid;
  return likelihood ? likelihood->nats_per_step : not_known;
}

double test_likelihood(const Run& run) {
  const auto& likelihood = run.record.log_likelihood.test;
  return likelihood ? likelihood->nats_per_step : not_known;
}

std::vector<double> values_of(const Configuration& configuration, const PerRun& value) {
  std::vector<double> values;
  for (const Run* run : configuration.finished()) values.push_back(value(*run));
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
  const LossParts parts = compared_parts(set);
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
