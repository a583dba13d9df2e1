#pragma once
#include <string>
#include <vector>

#include "experiments/report/records.h"
#include "experiments/report/table.h"

// The likelihoods of a set of runs with all their averages, their notes and steps, and the counting models beside them.
namespace poph {

// A row for each configuration and split, then one for each counting model and split: they are the same for all
// configurations of a comparison group. Empty where no run has a likelihood.
Table likelihood_table(const RunSet& set, const std::string& group);

// The same figures for files: columns named valid_nats_per_step and so on, and the fields of a run in them.
std::vector<Column> likelihood_columns();
std::vector<Field> likelihood_fields(const Run& run);
// A line a configuration, whose name is in the first column; means over its seeds.
Table likelihood_columns_table(const RunSet& set);

}  // namespace poph
