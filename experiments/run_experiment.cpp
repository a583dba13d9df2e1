#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "experiments/config.h"
#include "experiments/experiment.h"
#include "experiments/model_file.h"
#include "experiments/progress.h"
#include "poph_version.h"

int main(int argc, char** argv) {
  for (int signal : {SIGXFSZ, SIGPIPE}) std::signal(signal, SIG_IGN);  // errors to report or to survive, not reasons to die
  poph::RunOptions options;
  bool print_config = false;
  const char* runs = std::getenv("POPH_RUNS");
  options.out = runs && *runs ? runs : "runs";
  CLI::App app{"Trains the model of an experiment file and composes with it. The same command again continues an unfinished run."};
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
  app.add_flag("--quiet", options.quiet, "print errors only");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "run_experiment: %s (--help lists the options)\n", error.what());
    return 2;
  }
  for (int i = 0; i < argc; ++i) options.command_line += (i ? " " : "") + std::string(argv[i]);
  try {
    if (print_config) {
      poph::print_text(poph::describe_config(poph::load_config(options.file, options.overrides, poph::bundled_corpus())));
      return 0;
    }
    return poph::run_experiment(options);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "run_experiment: not enough memory\n");
    return 1;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "run_experiment: %s\n", error.what());
    return 1;
  }
}
