#pragma once
#include "data/corpus.h"
#include "experiments/config.h"

// What an experiment's data section means to the readers of music.
namespace poph {

inline RollSettings roll_settings(const DataConfig& data) {
  return {data.lowest_note, data.notes, data.steps_per_quarter, data.percussion, data.sustain};
}

inline CorpusSettings corpus_settings(const Config& config, int threads) {
  CorpusSettings settings;
  settings.sources = config.source_paths();
  settings.roll = roll_settings(config.data);
  settings.channels = config.data.channels;
  settings.held_out = config.data.split;
  settings.no_split = config.data.no_split;
  settings.seed = config.seed;
  settings.threads = threads;
  return settings;
}

}  // namespace poph
