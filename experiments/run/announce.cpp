#include "experiments/run/announce.h"

#include <fmt/format.h>

#include <filesystem>
#include <variant>

#include "data/batches.h"
#include "data/files/text.h"
#include "experiments/config/styles.h"
#include "experiments/workspace/corpus_summary.h"
#include "poph_version.h"
#include "tensor/device.h"

namespace poph {
namespace {

void say_precision(Precision precision, Device device, Progress& progress) {
  const bool cpu = device == Device::cpu;
  if (precision == Precision::tf32)
    progress.line(cpu ? "tf32 on cpu: computed in float32" : "precision: products of float32 matrices in TF32");
  if (precision == Precision::bf16)
    progress.line(joined(
        "precision: trains in bf16; weights, sums, whole pieces that are scored and what is composed are float32",
        cpu ? ". On a CPU this is slower than float32" : ""));
}

}  // namespace

std::string poph_program() {
  std::error_code error;
  const std::filesystem::path beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "poph";
  const std::filesystem::path relative = error ? "poph" : std::filesystem::relative(beside, error);
  return error || relative.native().starts_with("..") ? beside.string() : relative.string();
}

void say_machine(Precision precision, Device device, Progress& progress) {
  progress.line(fmt::format("PopH {} ({}) on {}, {} threads{}", POPH_VERSION, POPH_REVISION, device_name(device),
                            threads(), device == Device::cpu ? fmt::format(", {} kernels", cpu_kernels()) : ""));
  say_precision(precision, device, progress);
}

void say_data(const RunData& data, const Config& config, Progress& progress) {
  const Corpus& corpus = data.corpus;
  const std::vector<Style>& styles = config.data.styles;
  std::string sources = styles.empty() ? "" : "styles " + style_names(styles);
  if (styles.empty())
    for (const std::string& source : config.data.source) sources += (sources.empty() ? "" : ", ") + source;
  const auto shared = static_cast<size_t>(corpus.shared);
  const std::string also = shared == 0                     ? ""
                           : shared == corpus.valid.size() ? " (the same ones)"
                                                           : fmt::format(" ({} of them trained on too)", shared);
  progress.line(fmt::format(
      "data: {}: {} pieces to train on, {} held out{}, {} steps, {} notes dropped as out of range{}, {} of memory",
      sources, corpus.train.size(), corpus.valid.size(), also, corpus.steps, corpus.dropped_notes,
      corpus.percussion_notes ? fmt::format(", {} of percussion left out", corpus.percussion_notes) : "",
      human_bytes(static_cast<double>(corpus.bytes()))));
  for (const StyleDataRecord& one : style_records(corpus))
    progress.line(fmt::format("      style {}: {} pieces to train on, {} held out{}, {} steps", printable(one.name),
                              one.pieces_train, one.pieces_valid, one.pieces_valid ? "" : " (nothing to validate with)",
                              one.steps));
  if (!styles.empty() && config.data.source != DataConfig{}.source)
    progress.line("      data.source is not read: model.styles says where the music of each style lies");
  const auto skipped_pieces = static_cast<int64_t>(corpus.skipped.size()) - corpus.skipped_files();
  const std::string cut =
      config.data.staggered
          ? fmt::format("{} windows of {} steps to train on, {} to validate", data.train.count(), config.data.window,
                        data.valid.count())
          : fmt::format("{} steps to train on, in {} lanes of {} steps a batch; {} to validate", steps_of(corpus.train),
                        config.train.batch, config.data.window, steps_of(corpus.valid));
  progress.line(fmt::format("      {}; {} of {} files skipped{}{}", cut, corpus.skipped_files(), corpus.files,
                            skipped_pieces ? fmt::format(", and {} pieces of chord files", skipped_pieces) : "",
                            corpus.damaged.empty() ? "" : fmt::format(", {} damaged but read", corpus.damaged.size())));
  for (const std::string& line : damage_lines(corpus, "      ")) progress.line(line);
  if (data.valid.count() == 0 && !config.train.monitor_train)
    progress.line("      nothing is held out: train.monitor = \"validation_loss\" watches the training loss instead");
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
    progress.line(fmt::format("  {:<34} {:<22} {:>9} parameters", name, shape(width), parameters));
  };
  progress.line(fmt::format("model {}: {} parameters{}; shapes are [batch, steps, notes, features]", config.name,
                            model.parameter_count(),
                            model.autoregressive() ? "" : "; autoregressive = false: its loss sees the answer"));
  row(config.model.match ? "note and match features" : "note features", model.feature_width(),
      count(model.octave_conv));
  if (config.model.styles > 0)
    progress.line(
        fmt::format("  {:<34} {:<22} {:>9} parameters, and some before each LSTM layer",
                    fmt::format("{} styles", config.model.styles),
                    fmt::format("[{}, {}, {}]", config.train.batch, config.data.window, config.model.style_units),
                    count(model.style)));
  for (size_t i = 0; i < model.blocks.size(); ++i) {
    const char* kind = info_of(model.settings.blocks[i].kind).name;
    const bool fed = model.conditioned() && static_cast<int64_t>(i) == model.conditioning_point();
    Block& block = model.blocks[i];
    const bool matched = config.model.match && static_cast<int64_t>(i) == model.conditioning_point();
    row(fmt::format("{} {}{}{}", kind, size_text(block), matched ? ", match" : "", fed ? ", chosen" : ""),
        outputs(block), std::visit(count, block));
  }
  row("heads", config.model.channels,
      count(model.note_head) + (config.model.channels > 1 ? count(model.volume_head) : 0));
}

}  // namespace poph
