#pragma once
#include <string>
#include <vector>

#include "experiments/run_records.h"
#include "experiments/table.h"

namespace poph {

// What is measured on the samples beside the same of the corpus, from each run's run.json: how the music is made, its keys by
// five profiles, the overlap of distributions with the validation pieces, and what is copied from the training pieces. Means over
// seeds. Only tables in which something stands.
std::vector<Table> measure_tables(const RunSet& set);

std::string measures_html(const RunSet& set);

}  // namespace poph
