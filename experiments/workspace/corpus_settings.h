#pragma once
#include <cstdlib>

#include "data/reading/corpus.h"
#include "experiments/config/config.h"

// The settings of the readers of music that an experiment's [data] asks for.
namespace poph {

inline RollSettings roll_settings(const DataConfig& data) {
  return {data.lowest_note, data.notes,    data.steps_per_quarter, data.percussion,
          data.sustain,     data.quantize, data.file_meter};
}

// The folder of the cache (data/reading/cache.h): $POPH_CACHE, which may be "none", or else poph in the user's folder
// of caches. Empty: there is none.
inline std::string cache_folder() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text ? text : "");
  };
  const std::string chosen = value("POPH_CACHE"), caches = value("XDG_CACHE_HOME"), home = value("HOME");
  if (!chosen.empty()) return chosen == "none" ? "" : chosen;
  if (caches.starts_with('/')) return caches + "/poph";
  return home.starts_with('/') ? home + "/.cache/poph" : "";
}

inline CorpusSettings corpus_settings(const Config& config, int threads) {
  CorpusSettings settings;
  settings.sources = config.source_paths();
  for (const Style& style : config.data.styles) settings.styles.push_back({style.name, config.paths_of(style.source)});
  settings.roll = roll_settings(config.data);
  settings.channels = config.data.channels;
  settings.held_out = config.data.split;
  settings.split = config.data.split_rule;
  settings.max_file_bytes = config.data.max_file_bytes;
  settings.seed = config.seed;
  settings.threads = threads;
  settings.cache.folder = cache_folder();
  return settings;
}

}  // namespace poph
