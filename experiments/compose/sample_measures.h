#pragma once
#include <string>
#include <vector>

#include "data/reading/corpus.h"
#include "experiments/compose/pieces.h"
#include "experiments/config/config.h"
#include "experiments/workspace/run_record.h"

// Measures the samples of a finished run beside the corpus. The records are those of run.json.
namespace poph {

inline constexpr size_t max_measured_pieces = 1000;  // of a split, evenly chosen

// By the definitions of data/measures/measures.h, repetition.h, overlap.h and copies.h.
MeasuresRecord measure_samples(const Rolls& samples, const Corpus& corpus, const Config& config);

// A few lines for the log.
std::vector<std::string> measures_text(const MeasuresRecord& measures);

}  // namespace poph
