#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/measures/key_counts.h"
#include "experiments/config/config.h"
#include "nn/biaxial.h"
#include "nn/safetensors.h"

// Checkpoints as the programs find and write them, and the places that depend on the build.
namespace poph {

// The folder of the bundled pieces: the source tree's data/corpus, or $POPH_CORPUS.
std::string bundled_corpus();

// Whether the folder is that of a run, trained or not, rather than one of music.
bool is_run(const std::string& folder);

// The path of a run folder's checkpoint without its extension: of the best, or else of the last. Error: there is none.
std::string run_checkpoint(const std::string& folder);

// The path of the model that comes with PopH under this name (data/models): "chorales". Anything else is given back as
// it is, and so is the name of a file or a folder that is there. Error: it is neither, and might be such a name.
std::string model_path(const std::string& word);

// The weights of a run folder, a checkpoint file or a model's name, and the experiment that they carry. Overrides
// change it ("loss.harmony.weight=0"). Its paths are absolute. Where its run's config.toml leads to music or to a file
// of [generate], that one is taken: the run may have been moved with them.
struct SavedModel {
  std::string path;
  Config config;
  TensorFile weights;
};
SavedModel read_model(const std::string& word, const std::vector<std::string>& overrides = {});
void set_weights(const SavedModel& saved, Biaxial& model);  // Error: they do not fit, or are not finite

// Of the file that read_model would read.
std::string weights_fingerprint(const std::string& run_or_file);

// A trained model and the experiment that made it; the weights must fit what the overrides make of it.
struct OpenedModel {
  std::string path;
  Config config;
  std::unique_ptr<Biaxial> model;
  std::optional<KeyCounts> key_counts;  // of its training pieces; a checkpoint from before has none
};
OpenedModel open_model(const std::string& word, const std::vector<std::string>& overrides, Dtype dtype, Device device);

TensorFile weights_file(Biaxial& model, const Config& config, const std::optional<KeyCounts>& key_counts = {});

// "auto" (CUDA where there is one), "cpu" or "cuda".
Device parse_device(const std::string& name);

}  // namespace poph
