#include "experiments/commands.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

#include "data/windows.h"
#include "experiments/data_text.h"
#include "experiments/evaluator.h"
#include "experiments/measured.h"
#include "experiments/model_file.h"
#include "experiments/music.h"
#include "experiments/progress.h"
#include "experiments/run_folder.h"
#include "experiments/signals.h"
#include "experiments/sources.h"
#include "tensor/printable.h"

namespace poph {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& value, int indent = -1) {  // a path may hold bytes that are no UTF-8
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string lines_of(const Json& object, const std::string& indent) {
  std::string lines;
  for (const auto& item : object.items()) {
    const Json& value = item.value();
    if (value.is_object()) {
      lines += fmt::format("{}{}:\n{}", indent, item.key(), lines_of(value, indent + "  "));
    } else {
      lines += fmt::format("{}{}: {}\n", indent, item.key(), value.is_string() ? value.get_ref<const std::string&>() : dumped(value));
    }
  }
  return lines;
}

// One JSON object, or the same as "name: value" lines.
void print(const Json& report, bool json) {
  print_text(json ? dumped(report, 1) + "\n" : lines_of(report, ""));
}

Json inspect_midi(const InspectOptions& options) {
  std::vector<uint8_t> buffer;
  const Config config = parse_config("model.blocks = [{ kind = \"lstm_time\" }]", "poph inspect", options.overrides);
  DecodeReport report;
  MidiFile midi;
  const Roll roll = [&] {
    try {
      parse_midi(read_file(options.path, buffer), midi);
      return decode(midi, roll_settings(config.data), &report);
    } catch (const Error& error) {
      const std::string_view what = error.what();
      fail(what.find(options.path) == what.npos ? options.path + ": " : "", what);
    }
  }();
  const Tonality music = tonality(roll);
  Json found{{"steps", roll.steps()}, {"sounding_cells", roll.sounding_cells()}, {"replays", roll.replays()},
              {"volume_sum", roll.volume_sum()}, {"dropped_notes", report.dropped_notes}, {"tracks", report.tracks},
              {"seconds", report.seconds}, {"lowest_note", config.data.lowest_note}, {"notes", config.data.notes},
              {"steps_per_quarter", config.data.steps_per_quarter}, {"note_ons", music.notes}, {"key", music.key}, {"in_key", music.in_key},
              {"pitch_classes", music.pitch_classes}};
  if (!midi.salvaged.empty()) found["salvaged"] = joined("byte ", midi.salvaged_at, ": ", midi.salvaged);
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

struct Chosen {
  std::string split;
  std::vector<Piece> pieces;
};

Chosen choose_pieces(const EvaluateOptions& options, Config& config) {
  if (!options.data.empty()) config.data.source = {options.data};
  const Corpus corpus = load_corpus(corpus_settings(config, options.threads));
  Chosen chosen{options.split, {}};
  if (chosen.split.empty()) chosen.split = !corpus.test.empty() ? "test" : options.data.empty() && !corpus.valid.empty() ? "valid" : "all";
  const auto take = [&](const char* name, const std::vector<Piece>& pieces) {
    if (chosen.split == name || chosen.split == "all") chosen.pieces.insert(chosen.pieces.end(), pieces.begin(), pieces.end());
  };
  take("train", corpus.train);
  take("valid", corpus.valid);
  take("test", corpus.test);
  std::unordered_set<const Roll*> seen;  // split = "none" puts one piece in two of them
  std::erase_if(chosen.pieces, [&](const Piece& piece) { return !seen.insert(piece.roll.get()).second; });
  require(!chosen.pieces.empty(), "--split ", chosen.split, ": this data has no such pieces (", corpus.train.size(), " train, ",
          corpus.valid.size(), " valid, ", corpus.test.size(), " test)");
  return chosen;
}

}  // namespace

void inspect(const InspectOptions& options) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(options.path, ignored);
  if (folder) return print(inspect_checkpoint(run_checkpoint(options.path) + ".safetensors"), options.json);
  print(options.path.ends_with(".safetensors") ? inspect_checkpoint(options.path) : inspect_midi(options), options.json);
}

void read_data(const DataOptions& options) {
  Config config = parse_config("model.blocks = [{ kind = \"lstm_time\" }]", "poph data", options.overrides, bundled_corpus());
  config.data.source = {options.source};
  Progress progress(options.list || options.json);
  CorpusSettings settings = corpus_settings(config, options.threads);
  settings.watch = [&](const ReadingProgress& reading) { progress.live(reading_text(reading)); };
  const auto begun = std::chrono::steady_clock::now();
  const Corpus corpus = load_corpus(settings);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (options.list) {
    for (const std::string& remark : corpus.remarks) fmt::print(stderr, "{}\n", printable(remark, std::string::npos));
    return print_text(fault_list(corpus));
  }
  Json report{{"files", corpus.files}, {"skipped", corpus.skipped_files()}, {"damaged", corpus.salvaged.size()},
              {"pieces", {{"train", corpus.train.size()}, {"valid", corpus.valid.size()}, {"test", corpus.test.size()}}},
              {"steps", corpus.steps}, {"dropped_notes", corpus.dropped_notes}, {"bytes", corpus.bytes()}, {"fingerprint", corpus.fingerprint},
              {"lowest_note", config.data.lowest_note}, {"notes", config.data.notes}, {"steps_per_quarter", config.data.steps_per_quarter},
              {"seconds", seconds}, {"files_per_second", static_cast<double>(corpus.files) / seconds}};
  if (options.json) report.update({{"faults", faults_json(corpus)}, {"remarks", corpus.remarks}});
  else for (const std::string& line : fault_lines(corpus, "")) progress.line(line);
  print(report, options.json);
}

void evaluate(const EvaluateOptions& options) {
  require(options.dtype == "f32" || options.dtype == "f64", "--dtype: found \"", options.dtype, "\", expected f32 or f64");
  const Dtype dtype = options.dtype == "f64" ? Dtype::f64 : Dtype::f32;
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  OpenedModel opened = open_model(options.checkpoint, options.overrides, dtype, device);
  Config& config = opened.config;
  const Chosen chosen = choose_pieces(options, config);
  const Windows windows(chosen.pieces, config.data.window, config.data.stride);

  std::vector<int64_t> which(options.windows > 0 ? std::min(options.windows, windows.count()) : windows.count());
  std::iota(which.begin(), which.end(), 0);
  const int64_t batch = options.windows > 0 ? static_cast<int64_t>(which.size()) : config.train.batch;
  const LossFunction loss(config.loss, config.model, dtype, device);
  const LossValues losses = *window_loss(*opened.model, loss, windows, which, batch, !options.gradients.empty());

  int64_t steps = 0, cells = 0, replays = 0;
  double volume = 0;
  for (const Piece& piece : chosen.pieces) {
    steps += piece.roll->steps();
    cells += piece.roll->sounding_cells();
    replays += piece.roll->replays();
    volume += piece.roll->volume_sum();
  }
  Json report{{"steps", steps}, {"sounding_cells", cells}, {"windows", windows.count()}, {"windows_scored", which.size()},
              {"autoregressive", opened.model->autoregressive()}};
  report["loss"]["play"] = losses.play;
  if (losses.replay) report["loss"]["replay"] = *losses.replay;
  if (losses.volume) report["loss"]["volume"] = *losses.volume;
  report["loss"]["harmony"] = losses.harmony;
  report["loss"]["total"] = losses.total;
  if (config.data.channels > 1) {
    report["replays"] = replays;
    report["volume_sum"] = volume;
  }
  if (opened.model->autoregressive()) {
    report["log_likelihood"] = likelihood_json(*log_likelihood(*opened.model, chosen.pieces, config.data.steps_per_quarter), config.data);
  }
  report["pieces"] = chosen.pieces.size();
  report["split"] = chosen.split;
  report["checkpoint"] = opened.path;
  if (!options.gradients.empty()) {
    TensorFile file;
    opened.model->each_parameter([&](const std::string& name, Var& parameter) {
      const Tensor& gradient = parameter.gradient();
      file.tensors[name] = gradient.defined() ? gradient : Tensor::zeros(parameter.shape(), dtype);
    });
    write_safetensors(options.gradients, file);
    report["gradients"] = options.gradients;
  }
  print(report, options.json);
}

int generate(const GenerateOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  watch_signals();
  OpenedModel opened = open_model(options.checkpoint, options.overrides, Dtype::f32, device);
  GenerateConfig& wanted = opened.config.generate;
  if (options.bars > 0) wanted.bars = options.bars;
  if (options.pieces > 0) wanted.pieces = options.pieces;
  if (options.context >= 0) wanted.context = options.context;
  if (options.temperature > 0) wanted.temperature = options.temperature;
  if (options.tempo > 0) wanted.tempo = options.tempo;
  if (!options.prime.empty()) wanted.prime = options.prime;
  ComposeSettings settings = compose_settings(opened.config, options.seed);
  const auto prime = read_prime(opened.config);
  settings.prime = prime.get();
  settings.keep_prime = options.keep_prime;
  make_folder(options.out);  // before the work: where nothing can be written, nothing is composed

  Progress progress(options.json);
  const auto begun = std::chrono::steady_clock::now();
  const auto rate = [&](int64_t steps) {
    return per_second(steps, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  };
  int64_t steps = 0;
  const std::vector<Roll> rolls = compose(*opened.model, settings, [&](int64_t done) {
    steps = done;
    progress.live(fmt::format("composing {} pieces: step {}/{}  {:.1f} steps/s", settings.pieces, done, settings.steps, rate(done)));
    return !stop_requested();
  });
  const double steps_per_second = rate(steps);
  const std::vector<std::string> files = write_pieces(rolls, options.out, opened.config);
  Json pieces = Json::array();
  for (size_t i = 0; i < rolls.size(); ++i) {
    const Tonality music = tonality(rolls[i]);
    pieces.push_back({{"file", files[i]}, {"steps", rolls[i].steps()}, {"notes", music.notes}, {"key", music.key}, {"in_key", music.in_key}});
    progress.line(fmt::format("{}: {} steps, {}, {}", files[i], rolls[i].steps(), music.notes == 0 ? "silent" : music.key.empty() ? "no key" : music.key, tonality_text(music)));
  }
  progress.line(fmt::format("{:.1f} steps/s for each of {} pieces; checkpoint {}, seed {}, temperature {}", steps_per_second, settings.pieces, opened.path,
                            options.seed, settings.temperature));
  if (options.json)
    print(Json{{"pieces", pieces}, {"steps_per_second", steps_per_second}, {"checkpoint", opened.path}, {"seed", options.seed}}, true);
  return stop_requested() ? exit_resumable : 0;
}

}  // namespace poph
