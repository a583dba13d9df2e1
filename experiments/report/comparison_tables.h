#pragma once
#include <string>
#include <vector>

#include "experiments/report/records.h"
#include "experiments/report/table.h"

// The results of comparison.h as tables and sentences.
namespace poph {

// A row for each configuration of a comparison group.
Table comparison_table(const RunSet& set, const std::string& group);

// The best configuration against the baseline, or the second best where the baseline is the best: by loss, by
// likelihood, and in time.
std::vector<std::string> verdicts(const RunSet& set, const std::string& group);

// A row for each configuration: the settings in which they differ. A row for each run: its state, its losses, where it
// ran.
Table settings_table(const RunSet& set);
Table runs_table(const RunSet& set);

}  // namespace poph
