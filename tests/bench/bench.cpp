#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/bench/model_bench.h"

// PopH's side of the measurements; tests/bench/run is what people call.
int main(int argc, char** argv) {
  using namespace poph;
  ModelOptions model;
  AttentionOptions attention;
  std::string dump, folder, to;
  int64_t warm_up = 1, pieces = 1, context = 0, transpositions = 12, bytes = 40'000;
  int thread_count = 2;
  CLI::App app{
      "PopH's side of tests/bench/run: each line of standard input asks for one measurement, each line of output is "
      "one, as "
      "JSON."};
  app.require_subcommand(1);
  app.add_option("--threads", thread_count)->capture_default_str()->check(CLI::Range(1, 1024));

  const auto of_model = [&](const char* name, const char* help) {
    CLI::App* const command = app.add_subcommand(name, help);
    command->add_option("FILE", model.file, "experiment file")->capture_default_str();
    command->add_option("KEY=VALUE", model.overrides, "overrides");
    command->add_option("--device", model.device)->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
    command->add_option("--batch", model.batch, "windows in a step")->capture_default_str();
    command->add_option("--window", model.window, "time steps in a window")->capture_default_str();
    command->add_option("--dump", dump,
                        "write to this .safetensors file what a peer starts from and is checked against, and end");
    return command;
  };
  CLI::App* const steps = of_model("steps", "training steps; any line asks for one");
  CLI::App* const layers = of_model("layers", "a layer forward and backward; a line is its name");
  CLI::App* const composing = of_model("composing", "steps of composed music; a line is how many");
  for (CLI::App* command : {steps, composing})
    command->add_option("--warm-up", warm_up, "steps before the first measurement")->capture_default_str();
  composing->add_option("--pieces", pieces)->capture_default_str();
  composing->add_option("--context", context, "0: the state is carried")->capture_default_str();

  CLI::App* const attend = app.add_subcommand("attention", "one attention; a line is \"MASK\" or \"MASK backward\"");
  attend->add_option("--positions", attention.positions)->capture_default_str();
  attend->add_option("--device", attention.device)->check(CLI::IsMember({"cpu", "cuda"}))->capture_default_str();
  attend->add_option("--precision", attention.precision)
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}))
      ->capture_default_str();

  CLI::App* const midi =
      app.add_subcommand("midi", "a folder of MIDI files; a line is read, notes, windows or batches");
  midi->add_option("FOLDER", folder)->required();
  CLI::App* const make_midi =
      app.add_subcommand("make-midi", "writes many transposed, long copies of a folder's pieces");
  make_midi->add_option("FROM", folder)->required();
  make_midi->add_option("TO", to)->required();
  make_midi->add_option("--transpositions", transpositions)->capture_default_str();
  make_midi->add_option("--bytes", bytes, "of a file, about")->capture_default_str();
  CLI::App* const peak = app.add_subcommand("fma-peak", "the processor's floating-point rate");

  CLI11_PARSE(app, argc, argv);
  try {
    set_threads(thread_count);
    if (steps->parsed()) measure_steps(model, warm_up, dump);
    if (layers->parsed()) measure_layers(model, dump);
    if (composing->parsed()) measure_composing(model, pieces, context, warm_up, dump);
    if (attend->parsed()) measure_attention(attention);
    if (midi->parsed()) measure_midi(folder);
    if (make_midi->parsed()) make_midi_files(folder, to, transpositions, bytes);
    if (peak->parsed()) measure_fma_peak();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: %s\n", error.what());
    return 1;
  }
}
