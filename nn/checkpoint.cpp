#include "nn/checkpoint.h"

#include <unistd.h>

#include <filesystem>
#include <map>

#include "data/files/file.h"
#include "data/files/hash.h"
#include "data/files/text.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

std::string weights_path(const std::string& stem) { return stem + ".safetensors"; }
std::string state_path(const std::string& stem) { return stem + ".state.safetensors"; }
std::string previous(const std::string& stem) { return stem + ".previous"; }

// Tells different saves apart and finds damage. Not cryptographic.
class Hash {
 public:
  void add(const void* data, size_t bytes) {
    value_ = with_words(value_, data, bytes);
    if (bytes % 8 == 0) value_ = with_word(value_, 0);  // each part ends with a word that is not full
  }
  void add(const std::string& text) {
    add_number(text.size());
    add(text.data(), text.size());
  }
  void add_number(uint64_t number) { add(&number, sizeof number); }
  std::string hex() const { return hex_digits(value_); }

 private:
  uint64_t value_ = fnv_start;
};

std::string save_hash(const TensorFile& weights, const TensorFile& state) {
  Hash hash;
  for (const TensorFile* file : {&weights, &state}) {
    hash.add_number(file->tensors.size());
    for (const auto& [name, tensor] : file->tensors) {
      const Tensor here = tensor.to(Device::cpu);
      hash.add(name);
      hash.add(joined(here.dtype(), here.shape()));
      hash.add(here.raw(), here.bytes());
    }
    for (const auto& [key, value] : file->metadata) {
      if (key == "save_id") continue;
      hash.add(key);
      hash.add(value);
    }
  }
  return hash.hex();
}

const std::string& save_id(const std::string& path, const std::map<std::string, std::string>& metadata) {
  const auto found = metadata.find("save_id");
  require(found != metadata.end(), path, ": no save_id in its metadata: not one of a saved pair");
  return found->second;
}

bool is_whole_pair(const std::string& stem) {
  try {
    const auto weights = inspect_safetensors(weights_path(stem)), state = inspect_safetensors(state_path(stem));
    return save_id(stem, weights.metadata) == save_id(stem, state.metadata);
  } catch (const Error&) {
    return false;
  }
}

// Gives the file a second name, which stays when the first one goes to another file. Disks without hard links get a
// copy.
void keep_as(const std::string& path, const std::string& second) {
  unlink(second.c_str());
  if (link(path.c_str(), second.c_str()) != 0) write_file_durably(second, read_file(path, ~uint64_t{0}));
}

}  // namespace

void save_checkpoint(const std::string& stem, TensorFile weights, TensorFile state) {
  weights.metadata["save_id"] = state.metadata["save_id"] = save_hash(weights, state);
  const fs::path folder = fs::path(stem).parent_path();
  remove_temporaries(folder.empty() ? "." : folder.string());
  PendingFile new_state(state_path(stem), safetensors_bytes(state));
  PendingFile new_weights(weights_path(stem), safetensors_bytes(weights));
  // After a torn save the previous pair is the only whole one: it stays until the renames below are done.
  if (is_whole_pair(stem)) {
    keep_as(state_path(stem), state_path(previous(stem)));
    keep_as(weights_path(stem), weights_path(previous(stem)));
    sync_parent_folder(stem);
  }
  new_state.commit();
  new_weights.commit();
}

bool has_checkpoint(const std::string& stem) { return fs::exists(weights_path(stem)); }

Checkpoint load_checkpoint(const std::string& stem) {
  Checkpoint found{read_safetensors(weights_path(stem)), read_safetensors(state_path(stem)), ""};
  std::string weights_id = save_id(weights_path(stem), found.weights.metadata);
  const std::string state_id = save_id(state_path(stem), found.state.metadata);
  if (weights_id != state_id) {
    const std::string torn = joined(weights_path(stem), " and ", state_path(stem), " are of different saves (save_id ",
                                    printable(weights_id), " and ", printable(state_id), ")");
    const std::string older = previous(stem);
    require(is_whole_pair(older), torn, ", and ", older, ".safetensors is no whole pair either");
    found = {read_safetensors(weights_path(older)), read_safetensors(state_path(older)), ""};
    weights_id = save_id(weights_path(older), found.weights.metadata);
    found.note = joined(torn, ": taking the pair before them, ", weights_path(older));
  }
  if (save_hash(found.weights, found.state) != weights_id)
    found.note +=
        joined(found.note.empty() ? "" : "; ", weights_path(found.note.empty() ? stem : previous(stem)),
               " or its state is not as it was saved (save_id ", printable(weights_id), "): edited or damaged");
  return found;
}

void assign_weights(const TensorFile& file, const std::string& origin,
                    const std::vector<std::pair<std::string, Tensor*>>& parameters) {
  std::string differences;
  auto differ = [&](const auto&... parts) { differences += joined(differences.empty() ? "" : "; ", parts...); };
  std::map<std::string, Tensor*> wanted(parameters.begin(), parameters.end());
  require(wanted.size() == parameters.size(), "assign_weights: two parameters of one name");
  for (const auto& [name, parameter] : parameters)
    if (!file.tensors.contains(name)) differ("missing ", name);
  for (const auto& [name, tensor] : file.tensors)
    if (!wanted.contains(name)) differ("unexpected ", printable(name));
  for (const auto& [name, parameter] : parameters) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) continue;
    const Tensor& tensor = found->second;
    if (tensor.shape() != parameter->shape()) differ(name, " is ", tensor.shape(), ", expected ", parameter->shape());
    if (tensor.dtype() == Dtype::i32) differ(name, " is of whole numbers (I32), expected F32 or F64");
  }
  require(differences.empty(), origin, " does not fit the model: ", differences);
  for (const auto& [name, parameter] : parameters) parameter->copy_from(file.tensors.at(name).to(parameter->dtype()));
}

}  // namespace poph
