#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "experiments/config.h"
#include "experiments/experiment.h"
#include "experiments/model_file.h"
#include "experiments/progress.h"
#include "experiments/sweep_runner.h"
#include "poph_version.h"

static int run(int argc, char** argv) {
  poph::SweepOptions sweep_options;
  poph::RunOptions& options = sweep_options.run;
  bool print_config = false;
  const char* runs = std::getenv("POPH_RUNS");
  options.out = runs && *runs ? runs : "runs";
  CLI::App app{"Trains the model of an experiment file and composes with it, or runs all of its sweep. The same command again goes on "
               "with what is unfinished."};
  app.set_version_flag("--version", std::string(POPH_VERSION) + " (" + POPH_REVISION + ")");
  app.add_option("FILE", options.file, "experiment file, such as experiments/sa_lstm_lstm.toml")->required();
  app.add_option("KEY=VALUE", options.overrides, "overrides, such as train.epochs=5 or data.source=my/folder");
  app.add_option("--out", options.out, "folder that runs lie in; $POPH_RUNS, or else runs")->capture_default_str();
  app.add_option("--device", options.device, "auto, cpu or cuda")->capture_default_str()->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--threads", options.threads, "of the CPU; 0: one per processor")->capture_default_str()->check(CLI::Range(0, 1024));
  app.add_flag("--print-config", print_config, "show every key and where it was set, and end");
  app.add_flag("--dry-run", options.dry_run, "show data, shapes, parameters, memory and time, and end");
  app.add_flag("--smoke", options.smoke, "three steps through every phase, in a folder of its own");
  app.add_flag("--restart", options.restart, "move the old run aside and begin anew");
  app.add_option("--jobs", sweep_options.jobs, "of a sweep: runs at once, each with its share of the threads")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_flag("--list", sweep_options.list, "of a sweep: print the ids of its runs, one a line, and end");
  CLI::Option* index = app.add_option("--index", sweep_options.index, "of a sweep: this run alone, counted from 0, as in a job array")->check(CLI::NonNegativeNumber);
  app.add_flag("--retry-failed", sweep_options.retry_failed, "of a sweep: runs that failed too");
  app.add_flag("--quiet", options.quiet, "print errors only");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "run_experiment: %s (--help lists the options)\n", error.what());
    return 2;
  }
  for (int i = 0; i < argc; ++i) options.command_line += (i ? " " : "") + std::string(argv[i]);
  const std::string corpus = poph::bundled_corpus();
  if (auto sweep = poph::load_sweep(options.file, options.overrides, corpus)) {
    const auto chosen = static_cast<size_t>(sweep_options.index);
    if (print_config && index->count() == 0) {
      poph::print_text(sweep->text);
    } else if (print_config) {
      poph::require(chosen < sweep->runs.size(), "--index ", chosen, ": this sweep has ", sweep->runs.size(), " runs, counted from 0");
      poph::print_text(poph::describe_config(sweep->runs[chosen].config));
    } else {
      return poph::run_sweep(std::move(*sweep), sweep_options);
    }
    return 0;
  }
  for (const char* name : {"--jobs", "--list", "--index", "--retry-failed"})
    poph::require(app.get_option(name)->count() == 0, name, ": ", options.file, " has no [sweep]: it is one run");
  const poph::Config config = poph::load_config(options.file, options.overrides, corpus);
  if (!print_config) return poph::run_experiment(config, options);
  poph::print_text(poph::describe_config(config));
  return 0;
}

int main(int argc, char** argv) { return poph::run_main("run_experiment", run, argc, argv); }
