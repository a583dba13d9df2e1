#pragma once
#include <string>
#include <vector>

#include "experiments/run_records.h"
#include "experiments/table.h"

// What comparison.h finds, as tables and in sentences.
namespace poph {

// One row a configuration of the league.
Table comparison_table(const RunSet& set, const std::string& league);

// The best one against the baseline, or the next best where that is the best: by loss, by likelihood, and in time.
std::vector<std::string> verdicts(const RunSet& set, const std::string& league);

// One row a configuration: the settings in which they differ. One row a run: its state, its losses, where it ran.
Table settings_table(const RunSet& set);
Table runs_table(const RunSet& set);

}  // namespace poph
