#pragma once
#include <string>
#include <utility>
#include <vector>

#include "nn/safetensors.h"

// A checkpoint is a pair of files with one `save_id`: STEM.safetensors holds the weights, STEM.state.safetensors all
// else that training needs to resume.
//
// A save leaves a whole pair wherever it is killed. It writes the new pair under temporary names, gives the old one the
// second names STEM.previous[.state].safetensors, then renames the new state, and the new weights last.
namespace poph {

struct Checkpoint {
  TensorFile weights, state;
  std::string note;  // empty, or one line for the user: a torn pair and its replacement, or contents edited since
};

// Sets `save_id` in both, a hash of all their contents: equal training gives equal files. After an Error the checkpoint
// from before can still be loaded.
void save_checkpoint(const std::string& stem, TensorFile weights, TensorFile state);

// Whether there is one to load: false after a first save that was killed halfway.
bool has_checkpoint(const std::string& stem);
Checkpoint load_checkpoint(const std::string& stem);

// Copies the file's tensors, F32 or F64, into the model's of any dtype and device. When names or shapes differ, nothing
// is copied, and one Error names all that differ. `origin` is the file's path, for that message.
void assign_weights(const TensorFile& file, const std::string& origin,
                    const std::vector<std::pair<std::string, Tensor*>>& parameters);

}  // namespace poph
