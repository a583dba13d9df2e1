#include "experiments/run/run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "data/files/file.h"
#include "experiments/compose/pieces.h"
#include "experiments/compose/sample_measures.h"
#include "experiments/config/number_list.h"
#include "experiments/config/styles.h"
#include "experiments/report/report.h"
#include "experiments/run/announce.h"
#include "experiments/run/estimate.h"
#include "experiments/run/run_data.h"
#include "experiments/run/same_run.h"
#include "experiments/run/sample_events.h"
#include "experiments/run/start.h"
#include "experiments/train/figures.h"
#include "experiments/train/style_likelihoods.h"
#include "experiments/train/trainer.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/corpus_summary.h"
#include "experiments/workspace/signals.h"
#include "nn/checkpoint.h"
#include "poph_version.h"
#include "tensor/gemm.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())));
}

std::string host_name() {
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  return host;
}

// The music of untrained weights, as the zero point of the measures; its pieces are not written.
Tonality untrained_music(const Biaxial& model, const Config& config) {
  ComposeSettings settings = compose_settings(config, config.seed);
  settings.pieces = 2;
  settings.steps = 4 * bar_steps(config.generate_meter(), config.data.steps_per_quarter);
  return tonality(shared_rolls(compose(model, settings)));
}

// A process may be killed between the end of a run and its report.
bool lacks_report(const std::string& path) {
  std::error_code error;
  const auto written = fs::last_write_time(path + "/report.html", error);
  return error || written < fs::last_write_time(path + "/run.json", error);
}

void say_finished(const std::string& path, bool with_report, Progress& progress) {
  progress.line(fmt::format("{} is finished already; --restart starts over, and this composes more: {} generate {}",
                            path, poph_program(), path));
  if (with_report && lacks_report(path)) try_report(path, progress);
}

// True, after a line about it, where the folder holds this run and the run is finished.
bool is_finished(const std::string& path, const Config& config, const RunOptions& options, Progress& progress) {
  const RunFolder there(path, RunFolder::Use::look);
  if (!there.has_config() || !there.record().finished() || !differing_keys(there.config(), config).empty())
    return false;
  say_finished(path, !options.supervised && !RunFolder::held(path), progress);
  return true;
}

// The run's folder, held by this process. Null where the run in it is finished.
std::unique_ptr<RunFolder> open_folder(const Config& config, const RunOptions& options, Progress& progress) {
  const std::string path = (fs::path(options.out) / config.name).string();
  std::error_code ignored;
  if ((options.restart || options.smoke) && fs::exists(path, ignored)) {
    { const RunFolder held(path); }  // Error where another process works on it
    if (options.smoke)
      remove_folder(path);
    else
      progress.line("the old run is now " + move_aside(path));
  }
  if (is_finished(path, config, options, progress)) return nullptr;
  const bool among_many = options.supervised || fs::exists(fs::path(options.out) / "sweep.lock", ignored);
  if (!among_many && !options.restart && !options.smoke && !fs::exists(path, ignored))
    say_same_runs(path, config, progress);
  auto folder = std::make_unique<RunFolder>(path);
  if (is_finished(path, config, options, progress)) return nullptr;  // by the process that held it until now
  return folder;
}

std::string not_finite_advice(const RunFolder& folder, bool diverged) {
  const bool some = has_checkpoint(folder.checkpoint("best")) || has_checkpoint(folder.checkpoint("last"));
  return (some ? "; the last good checkpoint is kept: " + poph_program() + " generate " + folder.path() +
                     " composes with it"
               : std::string("; there was no checkpoint to keep yet")) +
         (diverged ? "; a smaller train.learning_rate or train.clip_norm = 1 may help, in a run of its own (name=OTHER)"
                   : "; train.on_nan=skip leaves such steps out, from the last checkpoint on");
}

// Says what of the prime and of the conditions is left out.
Given said(Given given, Progress& progress) {
  for (const std::string& line : given.said) progress.line(line);
  return given;
}

// A session of work on a run whose folder is held. run.json is written at each stage.
class Session {
 public:
  Session(const Config& config, const RunOptions& options, Device device, const RunFolder& folder, Progress& progress)
      : config_(config),
        options_(options),
        device_(device),
        folder_(folder),
        progress_(progress),
        given_(said(read_given(config), progress)),
        start_(has_checkpoint(folder.checkpoint("last")) ? std::nullopt : read_start(config)),
        data_(load_run_data(config, options.threads, progress)),
        model_(config.model, config.seed, Dtype::f32, device),
        trainer_(config, model_, data_.train, data_.valid,
                 options.smoke ? TrainLimits{3, 3 * config.train.batch, 3 * config.train.batch * config.data.window}
                               : TrainLimits{}) {}

  int work() {
    if (!prepare()) return 0;
    try {
      if (!train() || !finish()) return interrupted();
    } catch (const NotFiniteError& error) {
      const std::string what = error.what() + not_finite_advice(folder_, error.diverged);
      save_failure(error.diverged ? RunStatus::diverged : RunStatus::failed, what);
      if (error.diverged) throw DivergedError(what);
      fail(what);
    } catch (const std::bad_alloc&) {
      save_failure(RunStatus::failed, "out of memory");
      throw;
    } catch (const std::exception& error) {
      save_failure(RunStatus::failed, error.what());
      throw;
    }
    save(RunStatus::finished);
    progress_.line(fmt::format("finished in {}: {}", human_time(trainer_.state().seconds), folder_.path()));
    if (!options_.supervised) try_report(folder_.path(), progress_);  // a sweep makes one of all its runs
    return 0;
  }

 private:
  // False: the run is finished.
  bool prepare() {
    say_model(model_, config_, progress_);
    record_ = folder_.record();
    const FileFingerprints files = file_fingerprints(config_.generate);
    if (folder_.has_config()) {
      refuse_other_data(folder_, data_.corpus.fingerprint, record_);
      refuse_other_start(folder_, config_, record_);
    }
    if (folder_.has_config() && record_.finished() &&
        is_same_elsewhere(folder_.config(), record_.files, config_, files)) {
      folder_.write_config(config_);
      say_finished(folder_.path(), !options_.supervised, progress_);
      return false;
    }
    record_.files = files;
    if (trainer_.resume(folder_, progress_))
      progress_.line(fmt::format("resuming {} from epoch {}, step {}", folder_.path(), trainer_.state().epoch + 1,
                                 trainer_.state().step));
    else
      begin();
    folder_.write_config(config_);
    folder_.require_there();
    write_damage_list(folder_.file("skipped.jsonl"), data_.corpus);
    describe();
    folder_.write_record(record_);
    return true;
  }

  void begin() {
    folder_.cut_metrics_after(-1, -1);
    if (!start_) return;
    start_from(*start_, config_, model_, progress_);
    record_.start_from = weights_fingerprint(start_->path);
  }

  void describe() {
    record_.status = RunStatus::running;
    record_.error.reset();
    record_.name = config_.name;
    record_.seed = config_.seed;
    record_.command_line = options_.command_line;
    record_.overrides = options_.overrides;
    record_.version = POPH_VERSION;
    record_.revision = POPH_REVISION;
    record_.host = host_name();
    record_.pid = getpid();
    record_.device = device_name(device_);
    record_.threads = threads();
    record_.cpu_kernels = cpu_kernels();
    record_.blas = blas_name();
    if (!record_.started) record_.started = utc_now();
    record_.sessions = record_.sessions.value_or(0) + 1;
    record_.data = data_record(data_, config_.data.staggered);
    record_.model = ModelRecord{model_.parameter_count(), model_.autoregressive()};
  }

  // False: interrupted.
  bool train() {
    // A run that goes on does not read its first weights again: without this music yet, it stays without.
    if (!record_.music.before_training && (start_ || config_.train.start_from.empty())) {
      const Tonality corpus = tonality(rolls_of(data_.corpus.train));
      Biaxial untrained(config_.model, config_.seed, Dtype::f32, device_);  // model_ may be resumed
      if (start_) set_weights(*start_, untrained);
      record_.music.before_training = tonality_record(untrained_music(untrained, config_), &corpus);
      folder_.write_record(record_);
    }
    start_.reset();
    return trainer_.run(folder_, progress_) == TrainEnd::finished;
  }

  // Composes with the best weights, measures the pieces and the likelihood. False: interrupted.
  bool finish() {
    const OpenedModel best = open_model(folder_.path(), {}, Dtype::f32, device_);
    const Rolls samples = compose_samples(*best.model);
    if (samples.empty()) return false;
    say_music(samples);
    record_.measures = measure_samples(samples, data_.corpus, config_);
    for (const std::string& line : measures_text(*record_.measures)) progress_.line(line);
    const auto found = likelihoods(*best.model, data_.corpus, config_.data,
                                   options_.smoke ? 1024 : max_likelihood_steps, [&](int64_t) {
                                     progress_.live("measuring the log-likelihood");
                                     return stop_requested();
                                   });
    if (!found) return false;
    if (!found->empty()) record_.log_likelihood = *found;
    for (const std::string& line : likelihoods_text(*found)) progress_.line(line);
    if (!score_styles(*best.model)) return false;
    folder_.require_there();
    if (config_.train.tensorboard)
      write_sample_events(folder_.path(), to_toml(config_), samples, config_.data.steps_per_quarter,
                          trainer_.state().step, progress_);
    return !stop_requested();
  }

  // The held-out pieces of each style as of every style. False: interrupted.
  bool score_styles(const Biaxial& best) {
    const std::vector<Style>& styles = config_.data.styles;
    if (styles.empty() || !best.autoregressive()) return true;
    const auto rows = style_likelihoods(best, data_.corpus.valid, styles, config_.data.steps_per_quarter,
                                        options_.smoke ? 256 : most_steps_of_a_style(styles.size()), [&](int64_t) {
                                          progress_.live("scoring each style as every style");
                                          return stop_requested();
                                        });
    if (!rows) return false;
    record_.style_likelihoods = *rows;
    for (const std::string& line : style_likelihoods_text(*rows, styles)) progress_.line(line);
    return true;
  }

  // Empty: interrupted.
  Rolls compose_samples(const Biaxial& best) {
    const ComposeSettings settings = compose_settings(config_, config_.seed, given_);
    const Composition composed = compose_with_progress(best, settings, progress_);
    if (stop_requested()) return {};
    // The samples of an earlier session stay until all of the new ones are on the disk.
    const std::string samples_folder = folder_.file("samples"), unfinished = samples_folder + ".unfinished";
    folder_.require_there();
    remove_folder(unfinished);
    std::vector<std::string> paths = write_pieces(composed.rolls, unfinished, config_, Existing::replace, given_);
    replace_folder(unfinished, samples_folder);
    for (std::string& path : paths) path.replace(0, unfinished.size(), samples_folder);
    record_.samples = std::move(paths);
    record_.style.reset();
    if (!settings.style.empty()) record_.style = mixture_text(settings.style, config_.data.styles);
    if (const std::string line = mixture_line(config_.generate.style, config_.data.styles, "generate.style");
        !line.empty())
      progress_.line(line);
    record_.condition.reset();
    if (given_.constraint)
      record_.condition = ConditionRecord{conditions_text(config_.generate), settings.particles, composed.conditions};
    for (const std::string& line : condition_lines(composed.conditions, settings.particles, "generate.particles="))
      progress_.line(line);
    progress_.line(fmt::format("composed {} pieces of {} bars in {} ({:.1f} steps/s): {}/samples/", settings.pieces,
                               config_.generate.bars, human_time(composed.seconds), composed.steps_per_second,
                               folder_.path()));
    return shared_rolls(composed.rolls);
  }

  void say_music(const Rolls& samples) {
    const Tonality corpus = tonality(rolls_of(data_.corpus.train)), after = tonality(samples);
    record_.music.corpus = tonality_record(corpus);
    record_.music.after_training = tonality_record(after, &corpus);
    progress_.line("the corpus:       " + tonality_text(*record_.music.corpus));
    if (record_.music.before_training)
      progress_.line("before training:  " + tonality_text(*record_.music.before_training));
    progress_.line("after training:   " + tonality_text(*record_.music.after_training));
  }

  int interrupted() {
    save(RunStatus::interrupted);
    progress_.line(fmt::format(
        "interrupted: saved at step {}. The same command resumes it; {} generate {} composes with what is there.",
        trainer_.state().step, poph_program(), folder_.path()));
    return exit_resumable;
  }

  void save(RunStatus status) {
    const TrainingState& state = trainer_.state();
    record_.status = status;
    record_.updated = utc_now();
    record_.training_seconds = state.seconds;
    record_.epochs = state.epoch;
    record_.steps = state.step;
    record_.skipped_steps = state.skipped;
    if (state.best_epoch >= 0) record_.best = BestEpoch{state.best_epoch, state.best};
    folder_.write_record(record_);
  }

  void save_failure(RunStatus status, const std::string& error) {
    try {
      record_.error = error;
      save(status);
      progress_.log(error);
    } catch (const std::exception&) {  // the disk may be what failed; the first error is the one to show
    }
  }

  const Config& config_;
  const RunOptions& options_;
  const Device device_;
  const RunFolder& folder_;
  Progress& progress_;
  const Given given_;
  std::optional<SavedModel> start_;  // of a run that begins, until it trains
  const RunData data_;
  Biaxial model_;
  Trainer trainer_;
  RunRecord record_;
};

// 1 where no bars are kept.
int64_t last_kept_bar(const GenerateConfig& generate) {
  int64_t last = 1;
  if (!generate.keep_bars.empty())
    for (const NumberRange& bars : parse_number_list(generate.keep_bars)) last = std::max(last, bars.last);
  return last;
}

int dry_run(const Config& config, const RunOptions& options, Device device, Progress& progress) {
  said(read_given(config), progress);
  const std::optional<SavedModel> start = read_start(config);
  const RunData data = load_run_data(config, options.threads, progress);
  Biaxial model(config.model, config.seed, Dtype::f32, device);
  if (start) start_from(*start, config, model, progress);
  say_model(model, config, progress);
  say_estimate(estimate_training(config, model, data, device), config, device, progress);
  return 0;
}

}  // namespace

int run_experiment(Config config, const RunOptions& options) {
  const Device device = parse_device(options.device);
  if (options.threads > 0) set_threads(options.threads);
  if (options.smoke) {
    config.name += "-smoke";
    config.train.epochs = 1;
    config.generate.pieces = 1;
    config.generate.bars = std::min(config.generate.bars, last_kept_bar(config.generate));
  }
  Progress progress(options.quiet);
  progress.watch(options.watch);
  if (options.dry_run) {
    say_machine(config.train.precision, device, progress);
    return dry_run(config, options, device, progress);
  }
  watch_signals(options.supervised ? supervised_request_seconds : own_request_seconds);
  const std::unique_ptr<RunFolder> folder = open_folder(config, options, progress);
  if (!folder) return 0;
  progress.log_to(folder->file("log.txt"));
  say_machine(config.train.precision, device, progress);
  if (folder->has_config()) refuse_other_settings(*folder, config);  // now, because reading the music takes long
  return Session(config, options, device, *folder, progress).work();
}

}  // namespace poph
