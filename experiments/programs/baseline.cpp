#include <fmt/format.h>

#include <filesystem>

#include "data/batches.h"
#include "data/files/stopwatch.h"
#include "experiments/programs/commands.h"
#include "experiments/programs/idle_keys.h"
#include "experiments/programs/printing.h"
#include "experiments/train/figures.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/corpus_summary.h"

namespace poph {
namespace {

Config data_of(const BaselineOptions& options) {
  const std::string& from = options.experiment;
  require(!from.empty() || !options.data.empty(), "baseline: found neither an experiment nor --data, expected one");
  std::error_code ignored;
  Config config =
      from.empty() ? parse_config(joined(no_model, "\n[data]\nchannels = [\"play\"]\nlowest_note = ", lowest_piano_key,
                                         "\nnotes = ", piano_keys, "\n"),
                                  "poph baseline", options.overrides, bundled_corpus())
      : from.ends_with(".safetensors") || std::filesystem::is_directory(from, ignored)
          ? open_model(from, options.overrides, Dtype::f32, Device::cpu).config
          : load_config(from, options.overrides, bundled_corpus());
  if (!options.data.empty()) config.data.source = {options.data}, config.data.styles.clear();
  return config;
}

std::string table_of(const CountingRecords& records) {
  std::string text =
      fmt::format("{:>28}{:>11}{:>15}{:>16}{:>12}\n", "", "all steps", "without first", "mean of pieces", "a quarter");
  const auto add = [&](const std::string& heading, double a, double b, double c, double d, const char* league) {
    text += fmt::format("  {:<26}{:>11.3f}{:>15.3f}{:>16.3f}{:>12.3f}{}\n", heading, a, b, c, d, league);
  };
  each_counting(records, [&](const CountingInfo& info, const auto& record) {
    if (!record) return;
    const std::string league = fmt::format("  {}: {}", info.league, league_text(info.league));
    add(info.heading, record->nats_per_step, record->nats_per_step_without_first, record->nats_per_step_mean_of_pieces,
        record->nats_per_quarter, league.c_str());
    if (record->nats_per_step_88_keys && *record->nats_per_step_88_keys != record->nats_per_step)
      add("  on 88 keys", *record->nats_per_step_88_keys,
          record->nats_per_step_without_first_88_keys.value_or(not_known),
          record->nats_per_step_mean_of_pieces_88_keys.value_or(not_known),
          record->nats_per_quarter_88_keys.value_or(not_known), "");
  });
  return text;
}

}  // namespace

void baseline(const BaselineOptions& options) {
  refuse_idle(options.overrides, Use::baseline);
  Progress progress(options.json ? Progress::Where::standard_error : Progress::Where::standard_output);
  const Config config = data_of(options);
  CorpusSettings settings = corpus_settings(config, options.threads);
  settings.watch = [&](const ReadingProgress& reading) { progress.live(reading_text(reading)); };
  const Corpus corpus = load_corpus(settings);
  for (const std::string& line : left_out_lines(corpus, config.data)) progress.line(line);
  require(!corpus.train.empty(), "baseline: this data has no training pieces to count");
  require(!corpus.valid.empty() || !corpus.test.empty(),
          "baseline: this data has no pieces held out: expected some in its validation or test split");
  const ScoredRange range = ScoredRange::of(config.data);
  const std::optional<KeyCounts> key_counts = count_keys(corpus.train);
  const auto watch = [&](const char* what) {
    return [&, what](int64_t done) {
      progress.live(fmt::format("{}: {} steps", what, done));
      return false;
    };
  };
  const Stopwatch stopwatch;
  const CountingModels models = *CountingModels::counted(corpus.train, watch("counting"));
  const int64_t steps = steps_of(corpus.train);
  Json report{{"compared", "the play matrix"},
              {"lowest_note", range.lowest_note},
              {"notes", range.notes},
              {"steps_per_quarter", range.steps_per_quarter},
              {"fingerprint", corpus.fingerprint},
              {"train", {{"pieces", corpus.train.size()}, {"steps", steps}}}};
  std::string text =
      fmt::format("log-likelihood of the play matrix in nats a step, {}; counted in {} pieces, {} steps\n",
                  range.text(), corpus.train.size(), steps);
  for (const auto& [name, pieces] : {std::pair{"valid", &corpus.valid}, {"test", &corpus.test}}) {
    if (pieces->empty()) continue;
    const CountingRecords records = *counting_records(models, *pieces, range, key_counts, watch(name));
    Json& split = report[name];
    const int64_t scored = steps_of(*pieces);
    split = {{"pieces", pieces->size()}, {"steps", scored}};
    each_counting(records, [&](const CountingInfo& info, const auto& record) {
      split[info.name] = likelihood_json(*record);
      split[info.name]["league"] = std::string(1, info.league);
      split[info.name]["keys"] = league_text(info.league);
    });
    text += fmt::format("{}: {} pieces, {} steps\n{}", name, pieces->size(), scored, table_of(records));
  }
  report["seconds"] = stopwatch.seconds();
  if (options.json) return print(report, true);
  progress.live("");
  print_text(text);
}

}  // namespace poph
