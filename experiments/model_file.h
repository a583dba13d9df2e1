#pragma once
#include <memory>
#include <string>
#include <vector>

#include "experiments/config.h"
#include "nn/biaxial.h"
#include "nn/safetensors.h"

namespace poph {

// Where the bundled pieces lie: the source tree's data/corpus, or $POPH_CORPUS.
std::string bundled_corpus();

// The checkpoint of a run folder to use, without its extension: the best one, or else the last. Error when there is none.
std::string run_checkpoint(const std::string& folder);

// A trained model and the experiment that made it, from a run folder or a checkpoint file.
struct OpenedModel {
  std::string path;
  Config config;
  std::unique_ptr<Biaxial> model;
};
// Overrides change the experiment that the checkpoint carries ("loss.harmony.weight=0"); the weights must still fit.
OpenedModel open_model(const std::string& run_or_file, const std::vector<std::string>& overrides, Dtype dtype, Device device);

TensorFile weights_file(Biaxial& model, const Config& config);

// "auto" (CUDA where there is one), "cpu" or "cuda".
Device parse_device(const std::string& name);

}  // namespace poph
