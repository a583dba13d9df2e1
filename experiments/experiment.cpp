#include "experiments/experiment.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>

#include "data/windows.h"
#include "experiments/data_text.h"
#include "experiments/measured.h"
#include "experiments/model_file.h"
#include "experiments/music.h"
#include "experiments/report.h"
#include "experiments/sample_events.h"
#include "experiments/signals.h"
#include "experiments/sources.h"
#include "experiments/trainer.h"
#include "nn/checkpoint.h"
#include "poph_version.h"
#include "tensor/file.h"
#include "tensor/panels.h"

namespace poph {
namespace {

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()))); }

// The other program, as it can be typed here.
std::string poph_program() {
  std::error_code error;
  const std::filesystem::path beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "poph";
  const std::filesystem::path relative = error ? "poph" : std::filesystem::relative(beside, error);
  return error || relative.native().starts_with("..") ? beside.string() : relative.string();
}

struct Data {
  Corpus corpus;
  Windows train, valid;
};

std::vector<std::shared_ptr<const Roll>> rolls_of(const std::vector<Piece>& pieces) {
  std::vector<std::shared_ptr<const Roll>> rolls;
  for (const Piece& piece : pieces) rolls.push_back(piece.roll);
  return rolls;
}

Data load_data(const Config& config, int threads, Progress& progress) {
  Data data;
  CorpusSettings settings = corpus_settings(config, threads);
  settings.watch = [&](const ReadingProgress& reading) { progress.live(reading_text(reading)); };
  data.corpus = load_corpus(settings);
  data.train = Windows(data.corpus.train, config.data.window, config.data.stride);
  data.valid = Windows(data.corpus.valid, config.data.window, config.data.stride);
  return data;
}

void say_precision(Precision precision, Device device, Progress& progress) {
  const bool cpu = device == Device::cpu;
  if (precision == Precision::tf32)
    progress.line(cpu ? "tf32 on cpu: computed in float32" : "precision: products of float32 matrices in TF32");
  if (precision == Precision::bf16)
    progress.line(joined("precision: trains and validates in bf16; weights, sums and all that is composed are float32",
                         cpu ? ". On a CPU this is slower than float32" : ""));
}

void say_data(const Data& data, const Config& config, Progress& progress) {
  const Corpus& corpus = data.corpus;
  std::string sources;
  for (const std::string& source : config.data.source) sources += (sources.empty() ? "" : ", ") + source;
  const auto shared = static_cast<size_t>(corpus.shared);
  const std::string also = shared == 0                     ? ""
                           : shared == corpus.valid.size() ? " (the same ones)"
                                                           : fmt::format(" ({} of them trained on too)", shared);
  progress.line(
      fmt::format("data: {}: {} pieces to train on, {} held out{}, {} steps, {} notes dropped as out of range, {} of memory",
                  sources, corpus.train.size(), corpus.valid.size(), also, corpus.steps, corpus.dropped_notes,
                  human_bytes(static_cast<double>(corpus.bytes()))));
  const auto skipped_pieces = static_cast<int64_t>(corpus.skipped.size()) - corpus.skipped_files();
  progress.line(fmt::format("      {} windows of {} steps to train on, {} to validate; {} of {} files skipped{}{}",
                            data.train.count(), config.data.window, data.valid.count(), corpus.skipped_files(), corpus.files,
                            skipped_pieces ? fmt::format(", and {} pieces of chord files", skipped_pieces) : "",
                            corpus.salvaged.empty() ? "" : fmt::format(", {} damaged but read", corpus.salvaged.size())));
  for (const std::string& line : fault_lines(corpus, "      ")) progress.line(line);
}

void say_model(Biaxial& model, const Config& config, Progress& progress) {
  const auto count = [](auto& part) {
    int64_t total = 0;
    part.each_parameter([&](const std::string&, Var& parameter) { total += parameter.value().elements(); });
    return total;
  };
  const auto shape = [&](int64_t width) {
    return fmt::format("[{}, {}, {}, {}]", config.train.batch, config.data.window, config.data.notes, width);
  };
  const auto row = [&](const std::string& name, int64_t width, int64_t parameters) {
    progress.line(fmt::format("  {:<28} {:<22} {:>9} parameters", name, shape(width), parameters));
  };
  constexpr const char* kinds[] = {"lstm_time", "lstm_notes", "attention_notes", "attention_time_notes"};
  progress.line(fmt::format("model {}: {} parameters{}; shapes are [batch, steps, notes, features]", config.name, model.parameter_count(),
                            model.autoregressive() ? "" : "; autoregressive = false: its loss sees the answer"));
  row("note features", model.feature_width(), count(model.octave_conv));
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    const BlockSettings& s = model.settings.blocks[i];
    const std::string size = s.is_attention() ? fmt::format("{} x {}", s.heads, s.head_dim) : fmt::format("{} x {}", s.layers, s.units);
    const bool fed = model.conditioned() && static_cast<int64_t>(i) == model.conditioning_point();
    std::visit([&](auto& block) { row(fmt::format("{} {}{}", kinds[static_cast<int>(s.kind)], size, fed ? ", chosen" : ""), block.outputs(), count(block)); },
               model.blocks[i]);
  }
  row("heads", config.model.channels, count(model.note_head) + (config.model.channels > 1 ? count(model.volume_head) : 0));
}

// Trains some batches on the side to see what a run will need.
Estimate measured(const Config& config, Biaxial& model, const Data& data, Device device) {
  Trainer trainer(config, model, data.train, data.valid);
  const std::vector<int64_t> order = epoch_order(data.train.count(), config.seed, 0);
  const auto batch = std::span(order).first(std::min<size_t>(order.size(), config.train.batch));
  const int before = device == Device::cpu ? 1 : 2;  // a GPU's second step is slower than all that follow: it is captured
  for (int i = 0; i < before; ++i) trainer.train_step(batch, 0);
  synchronize(device);
  const auto begun = std::chrono::steady_clock::now();
  trainer.train_step(batch, 0);
  synchronize(device);
  Estimate estimate;
  estimate.step_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  estimate.windows = static_cast<int64_t>(batch.size());
  estimate.steps_per_epoch = trainer.batches_per_epoch();
  const double validation = data.train.count() ? static_cast<double>(data.valid.count()) / static_cast<double>(data.train.count()) / 3 : 0;
  estimate.epoch_seconds = static_cast<double>(estimate.steps_per_epoch) * estimate.step_seconds * (1 + validation);
  estimate.peak_bytes = static_cast<double>(memory_use(device).peak);
  return estimate;
}

void say_estimate(const Estimate& estimate, const Config& config, Device device, Progress& progress) {
  progress.line(fmt::format("memory: {} at most in a step on {}", human_bytes(estimate.peak_bytes), device == Device::cpu ? "the CPU" : "the GPU"));
  progress.line(fmt::format("time: {:.2f} s a step of {} windows, {} steps an epoch; {} for all {} epochs with validation, composing not counted",
                            estimate.step_seconds, estimate.windows, estimate.steps_per_epoch,
                            human_time(static_cast<double>(config.train.epochs) * estimate.epoch_seconds), config.train.epochs));
}

// The form of the CPU's float32 kernels that this processor runs.
const char* cpu_kernels() {
  constexpr const char* levels[] = {"baseline", "AVX2", "AVX-512"};
  return levels[static_cast<int>(cpu_level())];
}

void describe_run(nlohmann::json& run, const RunOptions& options, const Config& config, Biaxial& model, const Data& data, Device device) {
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  if (!run.contains("started")) run["started"] = utc_now();
  run["name"] = config.name;
  run["status"] = "running";
  run.erase("error");
  run["version"] = POPH_VERSION;
  run["revision"] = POPH_REVISION;
  run["command_line"] = options.command_line;
  run["overrides"] = options.overrides;
  run["host"] = host;
  run["pid"] = getpid();
  run["seed"] = config.seed;
  run["device"] = device_name(device);
  run["threads"] = threads();
  run["cpu_kernels"] = cpu_kernels();
  run["blas"] = blas_name();
  run["sittings"] = run.value("sittings", 0) + 1;
  run["data"] = {{"fingerprint", data.corpus.fingerprint},     {"files", data.corpus.files},
                 {"skipped", data.corpus.skipped_files()},     {"pieces_train", data.corpus.train.size()},
                 {"pieces_valid", data.corpus.valid.size()},   {"steps", data.corpus.steps},
                 {"windows_train", data.train.count()},        {"windows_valid", data.valid.count()},
                 {"dropped_notes", data.corpus.dropped_notes}, {"bytes", data.corpus.bytes()},
                 {"damaged", data.corpus.salvaged.size()},     {"faults", faults_json(data.corpus)}};
  run["model"] = {{"parameters", model.parameter_count()}, {"autoregressive", model.autoregressive()}};
}

void save_run(nlohmann::json& run, const RunFolder& folder, const Trainer& trainer, const std::string& status) {
  const TrainingState& state = trainer.state();
  run["status"] = status;
  run["updated"] = utc_now();
  run["training_seconds"] = state.seconds;
  run["epochs"] = state.epoch;
  run["steps"] = state.step;
  run["skipped_steps"] = state.skipped;
  if (state.best_epoch >= 0) run["best"] = {{"epoch", state.best_epoch}, {"loss", state.best}};
  folder.write_run(run);
}

// What the untrained weights "compose", as the zero point of the measures in run.json; nothing of it is kept as music.
Tonality untrained_music(const Biaxial& model, const Config& config) {
  ComposeSettings settings = compose_settings(config, config.seed);
  settings.pieces = 2;
  settings.steps = 4 * steps_per_bar;
  std::vector<std::shared_ptr<const Roll>> rolls;
  for (Roll& roll : compose(model, settings)) rolls.push_back(std::make_shared<Roll>(std::move(roll)));
  return tonality(rolls);
}

// Composes with the best weights. The pieces; none where it was interrupted.
std::vector<std::shared_ptr<const Roll>> compose_samples(nlohmann::json& run, const RunFolder& folder, const Config& config, const Biaxial& best,
                                                         const Roll* prime, const Data& data, Progress& progress) {
  ComposeSettings settings = compose_settings(config, config.seed);
  settings.prime = prime;
  const auto begun = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(); };
  const std::vector<Roll> rolls = compose(best, settings, [&](int64_t done) {
    progress.live(fmt::format("composing {} pieces: step {}/{}  {:.1f} steps/s", settings.pieces, done, settings.steps, per_second(done, seconds())));
    return !stop_requested();
  });
  if (stop_requested()) return {};
  // Those of an earlier sitting stay until all of the new ones are on the disk.
  const std::string samples_folder = folder.file("samples"), unfinished = samples_folder + ".unfinished";
  folder.require_there();
  remove_folder(unfinished);
  write_pieces(rolls, unfinished, config);
  replace_folder(unfinished, samples_folder);
  run["samples"] = piece_paths(rolls.size(), samples_folder);
  progress.line(fmt::format("composed {} pieces of {} bars in {} ({:.1f} steps/s): {}/samples/", settings.pieces, config.generate.bars,
                            human_time(seconds()), per_second(settings.steps, seconds()), folder.path()));
  std::vector<std::shared_ptr<const Roll>> samples;
  for (const Roll& roll : rolls) samples.push_back(std::make_shared<Roll>(roll));
  const Tonality corpus = tonality(rolls_of(data.corpus.train)), after = tonality(samples);
  run["music"]["corpus"] = tonality_json(corpus);
  run["music"]["after_training"] = tonality_json(after, &corpus);
  progress.line("the corpus:       " + tonality_text(corpus));
  if (run["music"].contains("before_training")) {
    const auto& before = run["music"]["before_training"];
    progress.line(fmt::format("before training:  {:.1f} % of {} notes in the best-fitting key, pitch-class distance {:.3f} from the corpus",
                              100 * before["in_key"].get<double>(), before["notes"].get<int64_t>(), before["distance_from_corpus"].get<double>()));
  }
  progress.line("after training:   " + tonality_text(after, &corpus));
  return samples;
}

// All that is done with the best weights: composing, measuring, the likelihood. False: interrupted.
bool finish_run(nlohmann::json& run, const RunFolder& folder, const Config& config, const Roll* prime, Device device, const Data& data,
                const Trainer& trainer, bool smoke, Progress& progress) {
  const OpenedModel best = open_model(folder.path(), {}, Dtype::f32, device);
  const auto samples = compose_samples(run, folder, config, *best.model, prime, data, progress);
  if (samples.empty()) return false;
  run["measures"] = measure_samples(samples, data.corpus, config);
  for (const std::string& line : measures_text(run["measures"])) progress.line(line);
  const nlohmann::json found = likelihoods(*best.model, data.corpus, config.data, smoke ? 1024 : most_likelihood_steps, [&] {
    progress.live("measuring the log-likelihood");
    return stop_requested();
  });
  if (found.is_null()) return false;
  if (!found.empty()) run["log_likelihood"] = found;
  for (const std::string& line : likelihoods_text(found)) progress.line(line);
  folder.require_there();
  if (config.train.tensorboard) write_sample_events(folder.path(), to_toml(config), samples, trainer.state().step, progress);
  return !stop_requested();
}

void refuse_other_settings(const RunFolder& folder, const Config& config) {
  const Config was = folder.config();
  std::string changes;
  for (const std::string& key : differing_keys(was, config, may_change_on_resume(was, config))) changes += "; " + key;
  require(changes.empty(), folder.path(), " was begun with other settings", changes, "; use --restart to begin anew, or another name");
}

void refuse_other_data(const RunFolder& folder, const std::string& fingerprint, const nlohmann::json& run) {
  const std::string before = run.contains("data") ? run["data"].value("fingerprint", fingerprint) : fingerprint;
  require(before == fingerprint, folder.path(), " was begun with other data (fingerprint ", before, ", now ", fingerprint, "); use --restart to begin anew");
}

// Its process was killed after the run was finished and before its report was.
bool lacks_report(const std::string& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path + "/report.html", error);
  return error || written < std::filesystem::last_write_time(path + "/run.json", error);
}

std::string not_finite_advice(const RunFolder& folder, bool diverged) {
  const bool some = has_checkpoint(folder.checkpoint("best")) || has_checkpoint(folder.checkpoint("last"));
  return (some ? "; the last good checkpoint is kept: " + poph_program() + " generate " + folder.path() + " composes with it"
               : std::string("; there was no checkpoint to keep yet")) +
         (diverged ? "; a smaller train.learning_rate or train.clip_norm = 1 may help, with --restart"
                   : "; train.on_nan=skip goes on without such steps, from the last checkpoint");
}

}  // namespace

Estimate estimate_run(const Config& config, const RunOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  Progress silent(true);
  const Data data = load_data(config, options.threads, silent);
  require(data.train.count() > 0, "there are no windows to train on");
  Biaxial model(config.model, config.seed, Dtype::f32, device);
  return measured(config, model, data, device);
}

int run_experiment(Config config, const RunOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  if (options.smoke) {
    config.name += "-smoke";
    config.train.epochs = 1;
    config.generate.pieces = config.generate.bars = 1;
  }
  if (!options.dry_run) watch_signals(options.supervised ? supervised_request_seconds : own_request_seconds);  // a dry run has nothing to save
  Progress progress(options.quiet);
  const std::string path = (std::filesystem::path(options.out) / config.name).string();

  std::unique_ptr<RunFolder> folder;
  if (!options.dry_run) {
    std::error_code ignored;
    if ((options.restart || options.smoke) && std::filesystem::exists(path, ignored)) {
      { const RunFolder held(path); }
      if (options.smoke) remove_folder(path);
      else progress.line("the old run is now " + move_aside(path));
    }
    const auto finished = [&] {
      const RunFolder there(path, RunFolder::Use::look);
      if (!there.has_config() || there.run().value("status", "") != "finished" || !differing_keys(there.config(), config).empty()) return false;
      progress.line(fmt::format("{} is finished already; --restart begins anew, and this composes more: {} generate {}", path, poph_program(), path));
      if (!options.supervised && !RunFolder::held(path) && lacks_report(path)) try_report(path, progress);
      return true;
    };
    if (finished()) return 0;
    folder = std::make_unique<RunFolder>(path);
    if (finished()) return 0;  // by whoever held it until now
    progress.log_to(folder->file("log.txt"));
  }
  progress.line(fmt::format("PopH {} ({}) on {}, {} threads{}", POPH_VERSION, POPH_REVISION, device_name(device), threads(),
                            device == Device::cpu ? fmt::format(", {} kernels", cpu_kernels()) : ""));
  say_precision(config.train.precision, device, progress);

  // What can be refused at once is, rather than after hours: reading the music and training take long.
  if (folder && folder->has_config()) refuse_other_settings(*folder, config);
  const auto prime = read_prime(config);
  const Data data = load_data(config, options.threads, progress);
  say_data(data, config, progress);
  require(data.train.count() > 0, "there are no windows to train on");
  Biaxial model(config.model, config.seed, Dtype::f32, device);
  say_model(model, config, progress);
  if (options.dry_run) {
    say_estimate(measured(config, model, data, device), config, device, progress);
    return 0;
  }

  nlohmann::json run = folder->run();
  if (folder->has_config()) refuse_other_data(*folder, data.corpus.fingerprint, run);
  Trainer trainer(config, model, data.train, data.valid, options.smoke ? TrainLimits{3, 3 * config.train.batch} : TrainLimits{});
  if (trainer.resume(*folder, progress))
    progress.line(fmt::format("goes on with {} from epoch {}, step {}", path, trainer.state().epoch + 1, trainer.state().step));
  else
    folder->cut_metrics_after(-1, -1);
  folder->write_config(config);
  folder->require_there();
  write_fault_list(folder->file("skipped.jsonl"), data.corpus);
  describe_run(run, options, config, model, data, device);
  folder->write_run(run);
  const auto interrupted = [&] {
    save_run(run, *folder, trainer, "interrupted");
    progress.line(fmt::format("stopped and saved at step {}. The same command goes on from here; {} generate {} composes with what is there.",
                              trainer.state().step, poph_program(), path));
    return exit_resumable;
  };
  try {
    if (!run["music"].contains("before_training")) {
      const Tonality corpus = tonality(rolls_of(data.corpus.train));
      const Biaxial untrained(config.model, config.seed, Dtype::f32, device);  // the other may have gone on from a checkpoint
      run["music"]["before_training"] = tonality_json(untrained_music(untrained, config), &corpus);
      folder->write_run(run);
    }
    if (trainer.run(*folder, progress) == TrainEnd::interrupted) return interrupted();
    if (!finish_run(run, *folder, config, prime.get(), device, data, trainer, options.smoke, progress)) return interrupted();
  } catch (const std::exception& error) {
    std::string what = dynamic_cast<const std::bad_alloc*>(&error) ? "out of memory" : error.what();
    const bool not_finite = dynamic_cast<const NotFiniteError*>(&error), diverged = what.starts_with("training diverged");
    if (not_finite) what += not_finite_advice(*folder, diverged);
    try {
      run["error"] = what;
      save_run(run, *folder, trainer, diverged ? "diverged" : "failed");
      progress.log(what);
    } catch (const std::exception&) {  // the disk may be what failed; the first error is the one to show
    }
    if (not_finite) fail(what);
    throw;
  }
  save_run(run, *folder, trainer, "finished");
  progress.line(fmt::format("finished in {}: {}", human_time(trainer.state().seconds), path));
  if (!options.supervised) try_report(path, progress);  // a sweep makes one of all its runs
  return 0;
}

}  // namespace poph
