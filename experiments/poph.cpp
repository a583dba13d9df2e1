#include <CLI/CLI.hpp>
#include <cstdio>

#include "data/windows.h"
#include "experiments/commands.h"
#include "experiments/progress.h"
#include "experiments/report.h"
#include "poph_version.h"

static int run(int argc, char** argv) {
  CLI::App app{"Looks at music and models, scores models, and composes with them."};
  app.set_version_flag("--version", std::string(POPH_VERSION) + " (" + POPH_REVISION + ")");
  app.require_subcommand(1);
  int exit_code = 0;
  const char *json_help = "print one JSON object", *overrides_help = "overrides, such as data.notes=88",
             *checkpoint_help = "a run folder or a checkpoint file", *threads_help = "of the CPU; 0: one per processor",
             *device_help = "auto, cpu or cuda";

  poph::InspectOptions inspect;
  CLI::App* command = app.add_subcommand("inspect", "what a MIDI file or a checkpoint holds");
  command->add_option("FILE", inspect.path, "a MIDI file, a .safetensors file or a run folder")->required();
  command->add_option("KEY=VALUE", inspect.overrides, overrides_help);
  command->add_flag("--json", inspect.json, json_help);
  command->callback([&] { poph::inspect(inspect); });

  poph::DataOptions data;
  command = app.add_subcommand("data", "reads music as a run does: how much there is, and what is skipped or damaged and why");
  command->add_option("SOURCE", data.source, "a folder, an archive, a MIDI file or a chord .json, as data.source has it")->required();
  command->add_option("KEY=VALUE", data.overrides, overrides_help);
  command->add_option("--threads", data.threads, threads_help)->check(CLI::Range(0, 1024));
  command->add_flag("--list", data.list, "print every file that is skipped or damaged, one JSON object a line, and nothing else");
  command->add_flag("--json", data.json, json_help);
  command->callback([&] { poph::read_data(data); });

  poph::EvaluateOptions evaluate;
  command = app.add_subcommand("evaluate", "the losses and the log-likelihood of a model on some music");
  command->add_option("CHECKPOINT", evaluate.checkpoint, checkpoint_help)->required();
  command->add_option("KEY=VALUE", evaluate.overrides, overrides_help);
  command->add_option("--data", evaluate.data, "a folder, an archive, a MIDI file or a chord .json; the experiment's own data if not given");
  command->add_option("--split", evaluate.split, "train, valid, test or all")->check(CLI::IsMember({"train", "valid", "test", "all"}));
  command->add_option("--windows", evaluate.windows, "score the first K windows as one batch; 0: all")->check(CLI::NonNegativeNumber);
  command->add_option("--dtype", evaluate.dtype, "f32 or f64")->capture_default_str()->check(CLI::IsMember({"f32", "f64"}));
  command->add_option("--gradients", evaluate.gradients, "write the gradient of the total to this .safetensors file");
  command->add_option("--device", evaluate.device, device_help)->capture_default_str()->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command->add_option("--threads", evaluate.threads, threads_help)->check(CLI::Range(0, 1024));
  command->add_flag("--json", evaluate.json, json_help);
  command->callback([&] { poph::evaluate(evaluate); });

  poph::GenerateOptions generate;
  command = app.add_subcommand("generate", "composes MIDI files with a trained model");
  command->add_option("CHECKPOINT", generate.checkpoint, checkpoint_help)->required();
  command->add_option("KEY=VALUE", generate.overrides, overrides_help);
  command->add_option("--bars", generate.bars, "length of each piece; the experiment's own if not given")
      ->check(CLI::Range(int64_t{1}, poph::most_bars));
  command->add_option("--pieces", generate.pieces, "how many")->check(CLI::PositiveNumber);
  command->add_option("--seed", generate.seed, "the same seed gives the same files")->capture_default_str();
  command->add_option("--temperature", generate.temperature, "below 1 safer, above 1 wilder")->check(CLI::PositiveNumber);
  command->add_option("--tempo", generate.tempo, "quarter notes a minute")->check(CLI::Range(10.0, 1000.0));
  command->add_option("--context", generate.context, "re-read so many steps for each new one; 0: carry the state")->check(CLI::NonNegativeNumber);
  command->add_option("--prime", generate.prime, "a MIDI file to go on from");
  command->add_flag("--keep-prime", generate.keep_prime, "let the pieces begin with it");
  command->add_option("--out", generate.out, "folder for the MIDI files")->capture_default_str();
  command->add_option("--device", generate.device, device_help)->capture_default_str()->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command->add_option("--threads", generate.threads, threads_help)->check(CLI::Range(0, 1024));
  command->add_flag("--json", generate.json, json_help);
  command->callback([&] { exit_code = poph::generate(generate); });

  poph::CompareOptions compare;
  command = app.add_subcommand("compare", "which of several runs is better: their settings, losses and likelihoods side by side");
  command->add_option("RUN", compare.folders, "run folders, sweeps or folders of runs; the first one is the baseline")->required();
  command->add_option("--csv", compare.csv, "write the table to this file as well");
  command->callback([&] { poph::compare(compare); });

  std::string report;
  command = app.add_subcommand("report", "writes report.html and report.csv into the folder of a run, of a sweep, or of several runs");
  command->add_option("FOLDER", report, "a run folder, a sweep or a folder of run folders")->required();
  command->callback([&] {
    poph::write_report(report);
    poph::print_text(report + "/report.html\n");
  });

  try {
    app.parse(argc, argv);
    return exit_code;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "poph: %s (--help lists the options)\n", error.what());
    return 2;
  }
}

int main(int argc, char** argv) { return poph::run_main("poph", run, argc, argv); }
