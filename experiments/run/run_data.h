#pragma once
#include "data/reading/corpus.h"
#include "data/windows.h"
#include "experiments/config/config.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/run_record.h"

// The music that a run trains on and is validated with.
namespace poph {

struct RunData {
  Corpus corpus;
  Windows train, valid;
};

// Reads the music and says how much there is, and what was skipped. Error: there is no window to train on.
RunData load_run_data(const Config& config, int threads, Progress& progress);

DataRecord data_record(const RunData& data, bool staggered);  // of run.json

}  // namespace poph
