#include "experiments/run/run_data.h"

#include <nlohmann/json.hpp>

#include "data/matches.h"
#include "experiments/run/announce.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/corpus_summary.h"

namespace poph {
namespace {

FaultCounts fault_counts(const Corpus& corpus) {
  using Counts = std::map<std::string, int64_t>;
  const auto json = damage_json(corpus);
  return {json["skipped"].get<Counts>(), json["damaged"].get<Counts>()};
}

}  // namespace

RunData load_run_data(const Config& config, int threads, Progress& progress) {
  RunData data;
  CorpusSettings settings = corpus_settings(config, threads);
  settings.watch = [&](const ReadingProgress& reading) { progress.live(reading_text(reading)); };
  data.corpus = load_corpus(settings);
  if (config.model.match) find_matches(data.corpus, config.data.channels, threads);
  data.train = Windows(data.corpus.train, config.data.window, config.data.stride, config.data.steps_per_quarter);
  data.valid = Windows(data.corpus.valid, config.data.window, config.data.stride, config.data.steps_per_quarter);
  say_data(data, config, progress);
  require(data.train.count() > 0, "there are no windows to train on");
  return data;
}

DataRecord data_record(const RunData& data, bool staggered) {
  const Corpus& corpus = data.corpus;
  DataRecord record;
  record.fingerprint = corpus.fingerprint;
  record.files = corpus.files;
  record.skipped = corpus.skipped_files();
  record.damaged = std::ssize(corpus.damaged);
  record.pieces_train = std::ssize(corpus.train);
  record.pieces_valid = std::ssize(corpus.valid);
  record.steps = corpus.steps;
  if (staggered) record.windows_train = data.train.count();
  if (staggered) record.windows_valid = data.valid.count();
  record.dropped_notes = corpus.dropped_notes;
  record.bytes = static_cast<int64_t>(corpus.bytes());
  record.faults = fault_counts(corpus);
  if (!corpus.styles.empty()) record.styles = style_records(corpus);
  return record;
}

}  // namespace poph
