#pragma once
#include <string>
#include <vector>

#include "experiments/report/records.h"
#include "experiments/report/table.h"

// The report's section of measures.
namespace poph {

// Measures of the samples beside those of the corpus, from run.json: how the music is made, its keys by five profiles,
// the overlap of distributions with the validation pieces, and the steps copied from the training pieces. Means over
// seeds. Empty tables are left out.
std::vector<Table> measure_tables(const RunSet& set);

std::string measures_html(const RunSet& set);

}  // namespace poph
