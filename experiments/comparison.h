#pragma once
#include <functional>
#include <string>
#include <vector>

#include "experiments/run_records.h"
#include "experiments/statistics.h"
#include "experiments/table.h"

// Configurations of a set of runs against each other and against the baseline.
//
// Compared is the validation loss at the best epoch: the total, or where the configurations' harmony losses differ, so that their
// totals do too, play + replay + volume. Differences and times are taken pairwise, each seed with the baseline's run of that
// seed. A configuration whose loss sees its answers (autoregressive = false) is shown, but neither ranked nor compared. Losses
// and likelihoods stand side by side only where their league is the same.
namespace poph {

std::vector<std::string> leagues(const RunSet& set);  // in the order of the configurations
std::vector<const Configuration*> members(const RunSet& set, const std::string& league);

// The parts whose sum is compared, and its name: "total loss" or "play + replay + volume".
std::vector<std::string> compared_parts(const RunSet& set);
std::string compared_name(const RunSet& set);

// A number of a run; NaN where it has none.
using PerRun = std::function<double(const RunRecord&)>;
PerRun loss_at_best(std::vector<std::string> parts);  // their sum at the best epoch
PerRun loss_part(const std::string& part);
PerRun at(const std::string& path);  // in its run.json
inline constexpr const char *valid_likelihood = "log_likelihood/valid/nats_per_step",
                            *test_likelihood = "log_likelihood/test/nats_per_step";

std::vector<double> values_of(const Configuration& configuration, const PerRun& value);  // of its finished runs
Quantity mean_quantity(
    const std::vector<double>& values);  // of those that are numbers, with a 95 % interval where there are several
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
