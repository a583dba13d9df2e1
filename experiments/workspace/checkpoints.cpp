#include "experiments/workspace/checkpoints.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "data/files/file.h"
#include "data/files/hash.h"
#include "experiments/config/values.h"
#include "experiments/workspace/corpus_settings.h"
#include "nn/checkpoint.h"
#include "poph_paths.h"

namespace poph {

std::string bundled_corpus() {
  const char* set = std::getenv("POPH_CORPUS");
  return set && *set ? set : POPH_CORPUS;
}

bool is_run(const std::string& folder) {
  std::error_code ignored;
  const std::filesystem::path path = folder;
  return std::filesystem::exists(path / "checkpoints", ignored) || std::filesystem::exists(path / "run.json", ignored);
}

std::string run_checkpoint(const std::string& folder) {
  for (const char* name : {"best", "last"}) {
    const std::string stem = (std::filesystem::path(folder) / "checkpoints" / name).string();
    if (has_checkpoint(stem)) return stem;
  }
  fail(folder, ": no checkpoint in this folder: train a model first (expected checkpoints/best.safetensors)");
}

namespace {

namespace fs = std::filesystem;

// Takes the paths of the run that the checkpoint lies in, as far as they lead somewhere.
void follow_run(const fs::path& run_folder, Config& config) {
  const fs::path file = run_folder / "config.toml";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  Config run;
  try {
    run = load_config(file.string(), {}, bundled_corpus());
  } catch (const Error&) {  // damaged, or of another version: the checkpoint has what it needs
    return;
  }
  const auto there = [&](const std::string& path) { return fs::exists(path, ignored); };
  const auto is_own = [&](const char* key) {  // not an override's
    const auto found = config.set_by.find(key);
    return found == config.set_by.end() || found->second != command_line;
  };
  const std::vector<std::string> sources = run.source_paths();
  if (is_own("data.source") && std::all_of(sources.begin(), sources.end(), there)) config.data.source = run.data.source;
  if (is_own("model.styles") && run.data.styles.size() == config.data.styles.size())
    for (size_t i = 0; i < run.data.styles.size(); ++i) {
      const std::vector<std::string> paths = run.paths_of(run.data.styles[i].source);
      if (std::all_of(paths.begin(), paths.end(), there)) config.data.styles[i].source = run.data.styles[i].source;
    }
  for (const GenerateFile& file : generate_files) {
    std::string& path = config.generate.*file.path;
    const std::string& of_run = run.generate.*file.path;
    if (is_own(file.key) && fs::path(path).filename() == fs::path(of_run).filename() && there(of_run)) path = of_run;
  }
}

}  // namespace

std::string model_path(const std::string& word) {
  std::error_code ignored;
  if (fs::exists(word, ignored) || word.find_first_of("./") != std::string::npos) return word;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(POPH_MODELS, ignored)) {
    if (entry.path().extension() != ".safetensors") continue;
    if (entry.path().stem() == word) return entry.path().string();
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  fail(word,
       fmt::format(": no such run and no such file; the models that come with PopH are {}", fmt::join(names, ", ")));
}

SavedModel read_model(const std::string& word, const std::vector<std::string>& overrides) {
  std::error_code ignored;
  const std::string run_or_file = model_path(word);
  SavedModel saved{run_or_file, {}, {}};
  fs::path run_folder = run_or_file;
  if (fs::is_directory(run_or_file, ignored)) {
    const std::string stem = run_checkpoint(run_or_file);
    saved.path = stem + ".safetensors";
    Checkpoint checkpoint = load_checkpoint(stem);
    if (!checkpoint.note.empty()) std::fprintf(stderr, "%s\n", checkpoint.note.c_str());
    saved.weights = std::move(checkpoint.weights);
  } else {
    saved.weights = read_safetensors(run_or_file);
    const fs::path folder = fs::absolute(run_or_file).lexically_normal().parent_path();
    run_folder = folder.filename() == "checkpoints" ? folder.parent_path() : "";
  }
  const auto config = saved.weights.metadata.find("config");
  require(config != saved.weights.metadata.end(), saved.path,
          ": no experiment in its metadata: expected a \"config\" entry as PopH writes it");
  saved.config = parse_saved_config(config->second, saved.path, overrides, bundled_corpus());
  if (!run_folder.empty()) follow_run(run_folder, saved.config);
  return saved;
}

void set_weights(const SavedModel& saved, Biaxial& model) {
  assign_weights(saved.weights, saved.path, model.parameter_tensors());
  for (const auto& [name, tensor] : model.parameter_tensors())
    require(count_nonfinite(*tensor) == 0, saved.path, ": ", name, " holds values that are not finite numbers");
}

std::string weights_fingerprint(const std::string& run_or_file) {
  std::error_code ignored;
  const std::string path =
      fs::is_directory(run_or_file, ignored) ? run_checkpoint(run_or_file) + ".safetensors" : run_or_file;
  return hex_digits(content_hash(read_file(path, ~uint64_t{0})));
}

OpenedModel open_model(const std::string& word, const std::vector<std::string>& overrides, Dtype dtype, Device device) {
  const SavedModel saved = read_model(word, overrides);
  OpenedModel opened{saved.path, saved.config, nullptr, {}};
  if (const auto counts = saved.weights.metadata.find("key_counts"); counts != saved.weights.metadata.end())
    opened.key_counts = parse_key_counts(counts->second, opened.path);
  const ModelSettings& model = saved.config.model;  // models with match features came after the counts
  require(!model.match || model.channels != 1 || opened.key_counts ||
              !is_part_of_the_piano(roll_settings(saved.config.data)),
          opened.path, ": its metadata lacks key_counts, the counts of keys in the training pieces");
  opened.model = std::make_unique<Biaxial>(opened.config.model, Initializer{opened.config.seed, dtype, device, true});
  set_weights(saved, *opened.model);
  return opened;
}

TensorFile weights_file(Biaxial& model, const Config& config, const std::optional<KeyCounts>& key_counts) {
  TensorFile file;
  for (const auto& [name, tensor] : model.parameter_tensors()) file.tensors[name] = tensor->to(Dtype::f32);
  file.metadata["config"] = to_toml(config);
  if (key_counts) file.metadata["key_counts"] = key_counts_text(*key_counts);
  file.metadata["format"] = "pt";  // other programs ask for it: whose layout the tensors have, PyTorch's
  return file;
}

Device parse_device(const std::string& name) {
  if (name == "auto") return cuda_available() ? Device::cuda : Device::cpu;
  if (name == "cpu") return Device::cpu;
  require(name == "cuda", "--device: found \"", name, "\", expected auto, cpu or cuda");
  require(cuda_available(), "--device cuda: ", POPH_CUDA ? "no usable GPU was found" : "this build has no CUDA",
          "; use --device cpu");
  return Device::cuda;
}

}  // namespace poph
