#include "experiments/model_file.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "nn/checkpoint.h"

namespace poph {

std::string bundled_corpus() {
  const char* set = std::getenv("POPH_CORPUS");
  return set && *set ? set : POPH_CORPUS;
}

std::string run_checkpoint(const std::string& folder) {
  for (const char* name : {"best", "last"}) {
    const std::string stem = (std::filesystem::path(folder) / "checkpoints" / name).string();
    if (has_checkpoint(stem)) return stem;
  }
  fail(folder, ": no checkpoint in this folder: train a model first (expected checkpoints/best.safetensors)");
}

OpenedModel open_model(const std::string& run_or_file, const std::vector<std::string>& overrides, Dtype dtype, Device device) {
  std::error_code ignored;
  OpenedModel opened{run_or_file, {}, nullptr};
  TensorFile file;
  if (std::filesystem::is_directory(run_or_file, ignored)) {
    const std::string stem = run_checkpoint(run_or_file);
    opened.path = stem + ".safetensors";
    Checkpoint checkpoint = load_checkpoint(stem);
    if (!checkpoint.note.empty()) std::fprintf(stderr, "%s\n", checkpoint.note.c_str());
    file = std::move(checkpoint.weights);
  } else {
    file = read_safetensors(run_or_file);
  }
  const auto config = file.metadata.find("config");
  require(config != file.metadata.end(), opened.path, ": no experiment in its metadata: expected a \"config\" entry as PopH writes it");
  opened.config = parse_config(config->second, opened.path, overrides, bundled_corpus());
  opened.model = std::make_unique<Biaxial>(opened.config.model, Initializer{opened.config.seed, dtype, device, true});
  assign_weights(file, opened.path, opened.model->parameter_tensors());
  for (const auto& [name, tensor] : opened.model->parameter_tensors())
    require(count_nonfinite(*tensor) == 0, opened.path, ": ", name, " holds values that are not finite numbers");
  return opened;
}

TensorFile weights_file(Biaxial& model, const Config& config) {
  TensorFile file;
  for (const auto& [name, tensor] : model.parameter_tensors()) file.tensors[name] = tensor->to(Dtype::f32);
  file.metadata["config"] = to_toml(config);
  return file;
}

Device parse_device(const std::string& name) {
  if (name == "auto") return cuda_available() ? Device::cuda : Device::cpu;
  if (name == "cpu") return Device::cpu;
  require(name == "cuda", "--device: found \"", name, "\", expected auto, cpu or cuda");
  require(cuda_available(), "--device cuda: ", POPH_CUDA ? "no usable GPU was found" : "this build has no CUDA", "; use --device cpu");
  return Device::cuda;
}

}  // namespace poph
