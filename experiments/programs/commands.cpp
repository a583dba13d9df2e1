#include "experiments/programs/commands.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

#include "data/files/file.h"
#include "data/files/json_text.h"
#include "data/files/stopwatch.h"
#include "data/files/text.h"
#include "data/reading/file_names.h"
#include "data/reading/left_out.h"
#include "data/reading/midi_bytes.h"
#include "experiments/compose/pieces.h"
#include "experiments/compose/sample_measures.h"
#include "experiments/config/styles.h"
#include "experiments/config/values.h"
#include "experiments/play/known_music.h"
#include "experiments/play/steps_json.h"
#include "experiments/programs/idle_keys.h"
#include "experiments/programs/printing.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/corpus_summary.h"
#include "experiments/workspace/run_folder.h"
#include "experiments/workspace/signals.h"

namespace poph {
namespace {

// "4/4", or each meter with the bar it begins in: "4/4, 3/4 from bar 9".
std::string meters_text(const Roll& roll, int64_t steps_per_quarter) {
  std::string text;
  Meter last;
  const std::vector<Bars::Bar> bars = Bars(roll.meters(), steps_per_quarter).until(std::max<int64_t>(1, roll.steps()));
  for (size_t i = 0; i < bars.size(); ++i) {
    const Meter now = bars[i].meter;
    if (i == 0 || now != last)
      text += fmt::format("{}{}/{}{}", i == 0 ? "" : ", ", now.numerator, now.denominator,
                          i == 0 ? "" : fmt::format(" from bar {}", i + 1));
    last = now;
  }
  return text;
}

Json inspect_midi(const InspectOptions& options) {
  refuse_idle(options.overrides, Use::inspect);
  const Config config = parse_config(no_model, "poph inspect", options.overrides);
  const RollSettings settings = roll_settings(config.data);
  DecodeReport report;
  const MidiFile midi = read_midi(options.path);
  const Roll roll = [&] {
    try {
      return decode(midi, settings, &report);
    } catch (const Error& error) {
      fail(options.path, ": ", error.what());
    }
  }();
  const Tonality music = tonality(roll);
  Json found{{"steps", roll.steps()},
             {"sounding_cells", roll.sounding_cells()},
             {"replays", roll.replays()},
             {"volume_sum", roll.volume_sum()},
             {"dropped_notes", report.dropped_notes},
             {"percussion_notes", report.percussion_notes},
             {"tracks", report.tracks},
             {"seconds", report.seconds},
             {"lowest_note", config.data.lowest_note},
             {"notes", config.data.notes},
             {"steps_per_quarter", config.data.steps_per_quarter},
             {"meters", meters_text(roll, config.data.steps_per_quarter)},
             {"note_ons", music.notes},
             {"key", music.key},
             {"in_key", music.in_key},
             {"pitch_classes", music.pitch_classes}};
  if (roll.sounding_cells() == 0) found["silent"] = why_silent(report.dropped_notes, report.percussion_notes, settings);
  if (midi.format == 2 && report.tracks > 1)
    found["format_2"] = joined("its ", report.tracks, " tracks are pieces of their own, read one behind the other");
  if (midi.damage != Damage::none) found["salvaged"] = joined("byte ", midi.damage_at, ": ", words(midi.damage));
  return found;
}

Json inspect_checkpoint(const std::string& path) {
  const SafetensorsHeader header = inspect_safetensors(path);
  Json tensors = Json::object();
  uint64_t bytes = 0, elements = 0;
  for (const TensorEntry& entry : header.entries) {
    tensors[printable(entry.name)] = {{"dtype", entry.dtype}, {"shape", entry.shape}, {"bytes", entry.bytes}};
    bytes += entry.bytes;
    elements += std::accumulate(entry.shape.begin(), entry.shape.end(), uint64_t{1}, std::multiplies<>());
  }
  Json report{{"tensors", tensors}, {"parameters", elements}, {"bytes", bytes}};
  Json metadata = Json::object();
  for (const auto& [name, value] : header.metadata) metadata[name] = value;
  report["metadata"] = metadata;
  return report;
}

// How much the pieces repeat: shares of their steps by the length of the exact match.
Json repeats_json(const Corpus& corpus, int64_t channels) {
  Rolls rolls;
  for (const auto* pieces : {&corpus.train, &corpus.valid, &corpus.test})
    for (const auto& roll : rolls_of(*pieces)) rolls.push_back(roll);
  std::unordered_set<const Roll*> seen;  // a piece may be in two splits
  std::erase_if(rolls, [&](const auto& roll) { return !seen.insert(roll.get()).second; });
  rolls = pick_evenly(rolls, max_measured_pieces);
  Json repeats{{"pieces", rolls.size()}};
  const MatchShares shares = match_shares(rolls, channels);
  for (size_t i = 0; i < shares.size(); ++i) repeats[match_classes[i]] = shares[i];
  return repeats;
}

// Of the pieces that generate has written: an entry and some lines for each.
struct Told {
  Json pieces = Json::array();
  std::vector<std::string> lines;
};
Told tell(const Composition& composed, const std::vector<std::string>& files, const Config& config, bool copies) {
  Told told;
  KnownMusic known(config);
  for (size_t i = 0; i < files.size(); ++i) {
    const Roll& roll = composed.rolls[i];
    const Tonality music = tonality(roll);
    told.pieces.push_back({{"file", files[i]},
                           {"steps", roll.steps()},
                           {"notes", music.notes},
                           {"key", music.key},
                           {"in_key", music.in_key}});
    if (!composed.conditions.empty()) told.pieces.back()["condition"] = condition_json(composed.conditions[i]);
    const std::string key = music.notes == 0 ? "silent" : music.key.empty() ? "no key" : music.key;
    told.lines.push_back(
        fmt::format("{}: {} steps, {}, {}", files[i], roll.steps(), key, tonality_text(tonality_record(music))));
    if (!copies) continue;
    const Copied found = known.copied(roll);
    const double share = std::isfinite(found.share()) ? found.share() : 0;
    told.pieces.back()["copied"] = {
        {"longest", found.longest}, {"of", found.of}, {"share", share}, {"among", known.name()}};
    told.lines.push_back(
        fmt::format("copies: at most {} steps in a row{}; {:.1f} % of its sounding steps lie in shared runs of a bar "
                    "or more, of {}",
                    found.longest, found.of.empty() ? "" : " (" + found.of + ")", 100 * share, known.name()));
  }
  return told;
}

}  // namespace

void inspect(const InspectOptions& given) {
  std::error_code ignored;
  InspectOptions options = given;
  options.path = model_path(options.path);
  const bool folder = std::filesystem::is_directory(options.path, ignored), run = folder && is_run(options.path);
  const bool experiment = options.path.ends_with(".toml");
  if (!run && (folder || experiment || is_archive_name(options.path) || is_chord_name(options.path)))
    return read_data({options.path, options.overrides, 0, false, options.json});
  if (!run && !options.path.ends_with(".safetensors")) return print(inspect_midi(options), options.json);
  refuse_idle(options.overrides, Use::checkpoint);
  print(inspect_checkpoint(run ? run_checkpoint(options.path) + ".safetensors" : options.path), options.json);
}

void read_data(const DataOptions& options) {
  refuse_idle(options.overrides, Use::data);
  const bool experiment = options.source.ends_with(".toml");
  Config config = experiment ? load_config(options.source, options.overrides, bundled_corpus())
                             : parse_config(no_model, "poph data", options.overrides, bundled_corpus());
  if (!experiment) config.data.source = {options.source};
  Progress progress(options.list || options.json);
  CorpusSettings settings = corpus_settings(config, options.threads);
  settings.watch = [&](const ReadingProgress& reading) { progress.live(reading_text(reading)); };
  const Stopwatch watch;
  const Corpus corpus = load_corpus(settings);
  const double seconds = watch.seconds();
  if (options.list) {
    for (const std::string& remark : corpus.remarks) fmt::print(stderr, "{}\n", printable(remark, std::string::npos));
    return print_text(damage_list(corpus));
  }
  Json report{
      {"files", corpus.files},
      {"skipped", corpus.skipped_files()},
      {"damaged", corpus.damaged.size()},
      {"pieces", {{"train", corpus.train.size()}, {"valid", corpus.valid.size()}, {"test", corpus.test.size()}}},
      {"steps", corpus.steps},
      {"left_out", corpus.left_out},
      {"dropped_notes", corpus.dropped_notes},
      {"percussion_notes", corpus.percussion_notes},
      {"bytes", corpus.bytes()},
      {"fingerprint", corpus.fingerprint},
      {"lowest_note", config.data.lowest_note},
      {"notes", config.data.notes},
      {"steps_per_quarter", config.data.steps_per_quarter},
      {"seconds", seconds},
      {"files_per_second", static_cast<double>(corpus.files) / seconds}};
  for (const StyleDataRecord& one : style_records(corpus))
    report["styles"][one.name] = {{"train", one.pieces_train}, {"valid", one.pieces_valid}, {"steps", one.steps}};
  report["repeats"] = repeats_json(corpus, config.data.channels);
  if (options.json)
    report.update({{"faults", damage_json(corpus)}, {"remarks", corpus.remarks}});
  else
    for (const std::string& line : damage_lines(corpus, "")) progress.line(line);
  print(report, options.json);
}

int generate(const GenerateOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  watch_signals();
  refuse_idle(options.overrides, Use::generate);
  std::vector<std::string> overrides = options.overrides;
  overrides.insert(overrides.end(), options.given.begin(), options.given.end());
  OpenedModel opened = open_model(options.checkpoint, overrides, Dtype::f32, device);
  const auto asked_for = [&](const char* key) {
    const auto found = opened.config.set_by.find(key);
    return found != opened.config.set_by.end() && found->second == command_line;
  };
  const Given given = read_given(opened.config, !asked_for("generate.bars"));
  ComposeSettings settings = compose_settings(opened.config, options.seed, given);
  require(given.constraint || !asked_for("generate.particles"),
          "--particles: changes nothing here: only conditions that fix some notes use it, such as --melody or --scale");
  require(given.prime || !options.keep_prime, "--keep-prime: there is no prime to keep: --prime names one");
  settings.keep_prime = options.keep_prime;
  require_memory(*opened.model, settings);
  std::error_code ignored;
  const bool is_new = !std::filesystem::exists(options.out, ignored);
  make_folder(options.out);  // before the work: where nothing can be written, nothing is composed
  remove_temporaries(options.out);

  std::vector<ComposedStep> steps;  // of the first piece
  if (options.json)
    settings.watcher = [&](const PieceSoFar& piece) {
      steps.resize(static_cast<size_t>(piece.changed));
      steps.insert(steps.end(), piece.fresh.begin(), piece.fresh.end());
    };
  Progress progress(options.json);
  for (const std::string& line : given.said) progress.line(line);
  const std::vector<Style>& styles = opened.config.data.styles;
  if (!styles.empty()) progress.line(mixture_line(opened.config.generate.style, styles, "--style"));
  const Composition composed = compose_with_progress(*opened.model, settings, progress);
  if (composed.cut_off) {
    if (is_new) std::filesystem::remove(options.out, ignored);
    progress.line("interrupted: no piece was written into " + options.out);
    if (options.json) print(Json{{"pieces", Json::array()}, {"interrupted", true}}, true);
    return exit_resumable;
  }
  const std::vector<std::string> files =
      write_pieces(composed.rolls, options.out, opened.config, options.force ? Existing::replace : Existing::keep,
                   given, options.keep_prime ? given.prime->steps() : 0);
  const Told told = tell(composed, files, opened.config, options.copies);
  for (const std::string& line : told.lines) progress.line(line);
  const std::vector<std::string> conditions = condition_lines(composed.conditions, settings.particles, "--particles ");
  for (const std::string& line : conditions) progress.line(line);
  progress.line(fmt::format("{:.1f} steps/s for each of {} pieces; checkpoint {}, seed {}, temperature {}",
                            composed.steps_per_second, settings.pieces, opened.path, options.seed,
                            settings.temperature));
  if (!options.json) return 0;
  Json said{{"pieces", told.pieces},
            {"left_out", given.said},
            {"steps_per_second", composed.steps_per_second},
            {"checkpoint", opened.path},
            {"seed", options.seed}};
  for (const ComposedStep& step : steps)
    said["steps_of_piece_1"].push_back(step_json(step, opened.config.data.lowest_note));
  for (size_t i = 0; i < styles.size(); ++i) said["style"][styles[i].name] = settings.style[i];
  print(said, true);
  return 0;
}

}  // namespace poph
