#pragma once
#include <string>
#include <utility>
#include <vector>

#include "nn/safetensors.h"

// A checkpoint is the pair STEM.safetensors (weights) and STEM.state.safetensors (all else that training needs to go on), both
// with the same `save_id`. Saving: the new pair is stored under temporary names, the old one gets the second names
// STEM.previous[.state].safetensors, then the state is renamed and the weights last: killed anywhere, one of the pairs is whole.
namespace poph {

struct Checkpoint {
  TensorFile weights, state;
  std::string note;  // empty, or one line for the user: a torn pair and what was taken for it, or contents edited since
};

// Sets `save_id` in both, a hash of all they hold: equal training gives equal files. On Error what was there can still be loaded.
void save_checkpoint(const std::string& stem, TensorFile weights, TensorFile state);

bool has_checkpoint(const std::string& stem);  // something was saved; false after a first save that was killed halfway
Checkpoint load_checkpoint(const std::string& stem);

// Copies the file's tensors into the model's, F32 or F64 into whatever dtype and device they have. When names or shapes
// differ, one Error names all that differ and nothing is copied; `origin` is the file's path, for that message.
void assign_weights(const TensorFile& file, const std::string& origin,
                    const std::vector<std::pair<std::string, Tensor*>>& parameters);

}  // namespace poph
