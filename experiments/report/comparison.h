#pragma once
#include <functional>
#include <string>
#include <vector>

#include "experiments/report/records.h"
#include "experiments/report/statistics.h"
#include "experiments/report/table.h"
#include "nn/loss_parts.h"

// Configurations of a set of runs against each other and against the baseline.
//
// The validation losses at the best epoch are compared: the totals, or, where the settings of a weighted part
// (loss.harmony.*) differ between configurations and with them the meaning of the total, the sums of the parts without
// a weight: play + replay + volume. Differences and times are taken pairwise, each seed with the baseline's run of that
// seed. A configuration whose loss sees its answers (autoregressive = false) is shown, but neither ranked nor compared.
// Losses and likelihoods are compared only within one comparison group (Configuration::group).
namespace poph {

std::vector<std::string> comparison_groups(const RunSet& set);  // in the order of the configurations
std::vector<const Configuration*> members(const RunSet& set, const std::string& group);

// The parts whose sum is compared, and its name: "total loss" or "play + replay + volume".
using LossParts = std::vector<LossPart>;
LossParts compared_parts(const RunSet& set);
std::string compared_name(const RunSet& set);

// A number of a run; NaN where it has none.
using PerRun = std::function<double(const Run&)>;
PerRun loss_at_best(LossParts parts);     // their sum at the best epoch
PerRun loss_part(const LossPart& part);   // at the best epoch
double valid_likelihood(const Run& run);  // nats a step
double test_likelihood(const Run& run);

std::vector<double> values_of(const Configuration& configuration, const PerRun& value);  // of its finished runs
// Of the values that are finite, with a 95 % interval where there are several.
Quantity mean_quantity(const std::vector<double>& values);
Quantity quantity(const Interval& interval);

// A configuration's runs against the baseline's with the same seed. Empty where the two are not to be compared.
struct Difference {
  Quantity by;
  double p = not_known;
};
Difference difference(const RunSet& set, const Configuration& configuration, const PerRun& value);
Reach reached(const RunSet& set, const Configuration& configuration);

// 1 for the smallest mean loss among those that may be ranked; 0: not ranked.
std::vector<int> ranks(const std::vector<const Configuration*>& configurations, const PerRun& loss);

}  // namespace poph
