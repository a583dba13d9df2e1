#include <cstdlib>
#include <limits>
#include <utility>

#include "experiments/config/config.h"
#include "experiments/programs/idle_keys.h"
#include "experiments/programs/options.h"
#include "experiments/run/run.h"
#include "experiments/sweep/runner.h"
#include "experiments/sweep/sweep.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/console.h"
#include "poph_version.h"

// The program run_experiment: the words of its command line.
namespace poph {
namespace {

void add_options(CLI::App& app, SweepOptions& options, bool& print_config) {
  RunOptions& run = options.run;
  add_path(app, "FILE", run.file, "experiment file, such as experiments/sa_lstm_lstm.toml")->required();
  add_overrides(app, run.overrides, "train.epochs=5 or data.source=my/folder");
  add_path(app, "--out", run.out, "folder that runs lie in; $POPH_RUNS, or else runs");
  add_choice(app, "--device", run.device, {"auto", "cpu", "cuda"}, "where to compute");
  add_whole_number(app, "--threads", run.threads, 0, 1024, "of the CPU; 0: one per processor");
  add_flag(app, "--print-config", print_config, "show every key and where it was set, and end");
  add_flag(app, "--dry-run", run.dry_run, "show data, shapes, parameters, memory and time, and end");
  add_flag(app, "--smoke", run.smoke, "three steps through every phase, in a folder of its own");
  add_flag(app, "--restart", run.restart, "move the old run aside and start over");
  add_whole_number(app, "--jobs", options.jobs, 1, 1024,
                   "of a sweep: runs at once, each with its share of the threads");
  add_flag(app, "--list", options.list, "of a sweep: print the ids of its runs, one a line, and end");
  add_whole_number(app, "--index", options.index, 0, std::numeric_limits<int64_t>::max(),
                   "of a sweep: this run alone, counted from 0, as in a job array");
  add_flag(app, "--retry-failed", options.retry_failed, "of a sweep: runs that failed too");
  add_flag(app, "--quiet", run.quiet, "print errors only");
}

void print_sweep_config(const Sweep& sweep, int64_t index) {
  if (index < 0) return print_text(sweep.text());
  const auto count = std::ssize(sweep.runs);
  require(index < count, "--index ", index, ": this sweep has ", count, " runs, counted from 0");
  print_text(describe_config(sweep.runs[static_cast<size_t>(index)].config));
}

int run(int argc, char** argv) {
  SweepOptions options;
  const char* runs = std::getenv("POPH_RUNS");
  options.run.out = runs && *runs ? with_home(runs) : "runs";
  bool print_config = false;
  CLI::App app{
      "Trains the model of an experiment file and composes with it, or runs all of its sweep. The same command again "
      "resumes what is unfinished."};
  app.set_version_flag("--version", std::string(POPH_VERSION) + " (" + POPH_REVISION + ")");
  add_options(app, options, print_config);
  if (const auto ended = parse_words(app, "run_experiment", argc, argv)) return *ended;
  for (int i = 0; i < argc; ++i) options.run.command_line += (i ? " " : "") + std::string(argv[i]);
  const std::string corpus = bundled_corpus();
  if (auto sweep = load_sweep(options.run.file, options.run.overrides, corpus)) {
    std::vector<const Config*> all;
    for (const SweepRun& one : sweep->runs) all.push_back(&one.config);
    refuse_idle(all);
    if (!print_config) return run_sweep(std::move(*sweep), options);
    print_sweep_config(*sweep, options.index);
    return 0;
  }
  for (const char* name : {"--jobs", "--list", "--index", "--retry-failed"})
    require(app.get_option(name)->count() == 0, name, ": ", options.run.file, " has no [sweep]: it is one run");
  const Config config = load_config(options.run.file, options.run.overrides, corpus);
  refuse_idle({&config});
  if (!print_config) return run_experiment(config, options.run);
  print_text(describe_config(config));
  return 0;
}

}  // namespace
}  // namespace poph

int main(int argc, char** argv) { return poph::run_main("run_experiment", poph::run, argc, argv); }
