#include <algorithm>
#include <filesystem>
#include <limits>

#include "experiments/config/number_list.h"
#include "experiments/config/styles.h"
#include "experiments/config/toml.h"
#include "experiments/programs/commands.h"
#include "experiments/programs/options.h"
#include "experiments/report/report.h"
#include "experiments/workspace/console.h"
#include "poph_version.h"

// The program poph: the words of its command line. What the commands do is in commands.h and report.h.
namespace poph {
namespace {

constexpr const char *json_help = "print one JSON object",
                     *checkpoint_help = "a run folder, a checkpoint file, or the name of a model in data/models",
                     *music_example = "data.notes=88";
constexpr int64_t most = std::numeric_limits<int64_t>::max();

void add_threads(CLI::App& command, int& threads) {
  add_whole_number(command, "--threads", threads, 0, 1024, "of the CPU; 0: one per processor");
}

void add_device(CLI::App& command, std::string& device) {
  add_choice(command, "--device", device, {"auto", "cpu", "cuda"}, "where to compute");
}

void add_inspect(CLI::App& app, InspectOptions& options) {
  CLI::App& command = *app.add_subcommand("inspect", "what a MIDI file, other music or a checkpoint holds");
  add_path(command, "FILE", options.path,
           "a MIDI file, a .safetensors file or a run folder; a folder or archive of music, as `poph data` has it")
      ->required();
  add_overrides(command, options.overrides, music_example);
  add_flag(command, "--json", options.json, json_help);
  command.callback([&] { inspect(options); });
}

void add_data(CLI::App& app, DataOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "data", "reads music as a run does: how much there is, and what is skipped or damaged and why");
  add_path(
      command, "SOURCE", options.source,
      "a folder, an archive, a MIDI file or a chord .json, as data.source has it; or an experiment (.toml): its music, "
      "by styles where it has some")
      ->required();
  add_overrides(command, options.overrides, music_example);
  add_threads(command, options.threads);
  add_flag(command, "--list", options.list,
           "print every file that is skipped or damaged, one JSON object a line, and nothing else");
  add_flag(command, "--json", options.json, json_help);
  command.callback([&] { read_data(options); });
}

bool is_override(const std::string& word) {
  std::error_code ignored;
  return word.find('=') != word.npos && !std::filesystem::exists(with_home(word), ignored);
}

// Checkpoints may stand among the overrides.
void take_checkpoints(EvaluateOptions& options) {
  const auto rest = std::stable_partition(options.overrides.begin(), options.overrides.end(), is_override);
  for (auto word = rest; word != options.overrides.end(); ++word) options.checkpoints.push_back(with_home(*word));
  options.overrides.erase(rest, options.overrides.end());
}

// The first word may be an override, where --data says what is read.
void take_experiment(BaselineOptions& options) {
  if (!is_override(options.experiment)) return;
  options.overrides.insert(options.overrides.begin(), options.experiment);
  options.experiment.clear();
}

void add_evaluate(CLI::App& app, EvaluateOptions& options) {
  CLI::App& command = *app.add_subcommand("evaluate", "the losses and the log-likelihood of a model on some music");
  add_path(command, "CHECKPOINT", options.checkpoints.emplace_back(), checkpoint_help)->required();
  command
      .add_option("MORE", options.overrides,
                  "further checkpoints, scored alone and as a mixture of all; KEY=VALUE: overrides, such as "
                  "loss.harmony.weight=0")
      ->type_name("TEXT");
  add_path(command, "--data", options.data,
           "a folder, an archive, a MIDI file or a chord .json; the experiment's own data if not given");
  add_choice(command, "--split", options.split, {"train", "valid", "test", "all"}, "which pieces");
  add_option(
      command, "--pieces", "LIST", "score these pieces of the split alone, counted from 0: 0,3,4-9",
      [](const std::string& word) { return number_list_problem(word, "pieces such as 0,3,4-9"); },
      [&](const std::string& word) { options.pieces = word; });
  add_option(
      command, "--style", "SHARES",
      "of a model with styles: score all pieces as of this mixture, bach=0.7,satie=0.3, in place of each one's own",
      style_words_problem, [&](const std::string& word) { options.style = word; });
  add_flag(command, "--per-piece", options.per_piece, "the likelihood of each piece, too");
  add_whole_number(command, "--windows", options.windows, 0, most, "score the first K windows as one batch; 0: all");
  add_choice(command, "--dtype", options.dtype, {"f32", "f64"}, "the precision");
  add_path(command, "--gradients", options.gradients, "write the gradient of the total to this .safetensors file");
  add_device(command, options.device);
  add_threads(command, options.threads);
  add_flag(command, "--json", options.json, json_help);
  command.callback([&] {
    take_checkpoints(options);
    evaluate(options);
  });
}

void add_baseline(CLI::App& app, BaselineOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "baseline", "the likelihoods of models that count and learn nothing: what a network has to beat");
  add_path(command, "EXPERIMENT", options.experiment,
           "an experiment file, a run folder or a checkpoint: the data, and its notes and steps");
  add_overrides(command, options.overrides, music_example);
  add_path(command, "--data", options.data,
           "a folder, an archive, a MIDI file or a chord .json; without EXPERIMENT the play matrix of all 88 keys");
  add_threads(command, options.threads);
  add_flag(command, "--json", options.json, json_help);
  command.callback([&] {
    take_experiment(options);
    baseline(options);
  });
}

void add_generate(CLI::App& app, GenerateOptions& options, int& exit_code) {
  CLI::App& command = *app.add_subcommand("generate", "composes MIDI files with a trained model");
  add_path(command, "CHECKPOINT", options.checkpoint, checkpoint_help)->required();
  add_overrides(command, options.overrides, "generate.bars=8");
  const auto key = [&](const char* name, const char* type, const char* key, const char* help) {
    add_key(command, name, type, key, options.given, help);
  };
  key("--bars", "INT", "generate.bars",
      "length of each piece; if not given that of --melody, --bass and --keep, or else the experiment's own");
  key("--pieces", "INT", "generate.pieces", "how many");
  add_whole_number(command, "--seed", options.seed, 0, most, "the same seed gives the same files");
  key("--temperature", "NUMBER", "generate.temperature", "below 1 safer, above 1 wilder");
  key("--tempo", "NUMBER", "generate.tempo", "quarter notes a minute");
  key("--context", "INT", "generate.context", "re-read so many steps for each new one; 0: carry the state");
  key("--prime", "PATH", "generate.prime", "a MIDI file to continue");
  key("--melody", "PATH", "generate.melody", "a MIDI file: harmonise its highest notes, which are kept");
  key("--bass", "PATH", "generate.bass", "a MIDI file: its lowest notes are kept, what is above them is composed");
  key("--keep", "PATH", "generate.keep", "a MIDI file: --keep-bars of it are kept, the other bars are composed");
  key("--keep-bars", "LIST", "generate.keep_bars", "which bars of --keep, from 1 on: 1-8,13-16");
  key("--scale", "TEXT", "generate.scale", "no other notes: \"D minor\", \"C# major\", \"C D E G A\"");
  key("--most-notes", "INT", "generate.most_notes", "no more notes sound at once");
  key("--particles", "INT", "generate.particles",
      "pieces that are tried side by side for each that keeps to all this: more fit it better");
  add_option(command, "--style", "SHARES",
             "of a model with styles: bach=0.7,satie=0.3, or the name of one; if not given equal shares of all",
             style_words_problem, [&](const std::string& word) {
               std::string shares;
               for (const auto& [name, share] : parse_style_words(word))
                 shares += (shares.empty() ? "" : ", ") + toml_quoted(name) + " = " + real_digits(share);
               options.given.push_back("generate.style={ " + shares + " }");
             });
  add_flag(command, "--keep-prime", options.keep_prime, "let the pieces begin with it");
  add_path(command, "--out", options.out, "folder for the MIDI files: piece_1.mid, or behind those that are there");
  add_flag(command, "--copies", options.copies,
           "say what each piece copies of the music at the model's data.source, or else of the bundled pieces");
  add_flag(command, "--force", options.force, "begin with piece_1.mid, and overwrite what is there");
  add_device(command, options.device);
  add_threads(command, options.threads);
  add_flag(command, "--json", options.json, json_help);
  command.callback([&] { exit_code = generate(options); });
}

void add_play(CLI::App& app, PlayOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "play", "opens a page of this machine's browser to draw a melody in, and to hear what the model makes of it");
  add_path(command, "CHECKPOINT", options.checkpoint, checkpoint_help)->required();
  add_overrides(command, options.overrides, "generate.bars=8");
  add_whole_number(command, "--port", options.port, 0, 65535,
                   "of 127.0.0.1; 0: any that is free; if not given 7674, or where that is taken any that is free");
  add_flag(command, "--no-browser", options.no_browser, "print the address, and open no browser");
  add_device(command, options.device);
  add_threads(command, options.threads);
  command.callback([&] { play(options); });
}

void add_compare(CLI::App& app, CompareOptions& options) {
  CLI::App& command = *app.add_subcommand(
      "compare", "which of several runs is better: their settings, losses and likelihoods side by side");
  add_paths(command, "RUN", options.folders, "run folders, sweeps or folders of runs; the first one is the baseline")
      ->required();
  add_path(command, "--csv", options.csv, "write the table to this file as well");
  command.callback([&] { compare(options); });
}

void add_report(CLI::App& app, std::string& folder) {
  CLI::App& command = *app.add_subcommand(
      "report", "writes report.html and report.csv into the folder of a run, of a sweep, or of several runs");
  add_path(command, "FOLDER", folder, "a run folder, a sweep or a folder of run folders")->required();
  command.callback([&] {
    const std::string left_out = write_report(folder);
    print_text((left_out.empty() ? "" : left_out + "\n") + folder + "/report.html\n");
  });
}

int run(int argc, char** argv) {
  CLI::App app{"Looks at music and models, scores models, and composes with them."};
  app.set_version_flag("--version", std::string(POPH_VERSION) + " (" + POPH_REVISION + ")");
  app.require_subcommand(1);
  int exit_code = 0;
  InspectOptions inspect_options;
  DataOptions data_options;
  EvaluateOptions evaluate_options;
  BaselineOptions baseline_options;
  GenerateOptions generate_options;
  PlayOptions play_options;
  CompareOptions compare_options;
  std::string report_folder;
  add_inspect(app, inspect_options);
  add_data(app, data_options);
  add_evaluate(app, evaluate_options);
  add_baseline(app, baseline_options);
  add_generate(app, generate_options, exit_code);
  add_play(app, play_options);
  add_compare(app, compare_options);
  add_report(app, report_folder);
  return parse_words(app, "poph", argc, argv).value_or(exit_code);
}

}  // namespace
}  // namespace poph

int main(int argc, char** argv) { return poph::run_main("poph", poph::run, argc, argv); }
