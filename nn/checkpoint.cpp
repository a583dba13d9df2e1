#include "nn/checkpoint.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "tensor/file.h"
#include "tensor/printable.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

std::string weights_path(const std::string& stem) { return stem + ".safetensors"; }
std::string state_path(const std::string& stem) { return stem + ".state.safetensors"; }
std::string previous(const std::string& stem) { return stem + ".previous"; }

// Tells damage and different saves apart, no more: not a cryptographic hash.
class Hash {
 public:
  void add(const void* data, size_t bytes) {
    const char* from = static_cast<const char*>(data);
    for (; bytes >= 8; bytes -= 8, from += 8) mix(from, 8);
    mix(from, bytes);
  }
  void add(const std::string& text) {
    add_number(text.size());
    add(text.data(), text.size());
  }
  void add_number(uint64_t number) { add(&number, sizeof number); }
  std::string hex() const {
    std::string text(16, '0');
    for (int i = 0; i < 16; ++i) text[i] = "0123456789abcdef"[value_ >> (60 - 4 * i) & 15];
    return text;
  }

 private:
  void mix(const void* from, size_t bytes) {
    uint64_t word = 0;
    if (bytes) std::memcpy(&word, from, bytes);
    value_ = (value_ ^ word) * 0x9E3779B97F4A7C15;
    value_ ^= value_ >> 29;
  }
  uint64_t value_ = 0xCBF29CE484222325;
};

std::string hash_of(const TensorFile& weights, const TensorFile& state) {
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

// A second name for the file, which stays when the first one is given to another. Disks without hard links get a copy.
void keep_as(const std::string& path, const std::string& kept) {
  unlink(kept.c_str());
  if (link(path.c_str(), kept.c_str()) != 0) write_file_durably(kept, read_file(path, ~uint64_t{0}));
}

// What a killed save left. A run folder has one writer, so nobody is still at work on them.
void remove_temporaries(const std::string& stem) {
  const fs::path path(stem), folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  std::error_code ignored;  // a missing folder is reported by the write that follows
  for (fs::directory_iterator entry(folder, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with(path.filename().string() + ".") && name.find("safetensors.tmp-") != std::string::npos)
      unlink(entry->path().c_str());
  }
}

}  // namespace

void save_checkpoint(const std::string& stem, TensorFile weights, TensorFile state) {
  weights.metadata["save_id"] = state.metadata["save_id"] = hash_of(weights, state);
  remove_temporaries(stem);
  PendingFile new_state(state_path(stem), safetensors_bytes(state));
  PendingFile new_weights(weights_path(stem), safetensors_bytes(weights));
  // After a torn save the previous pair is the only whole one: it stays until the renames below are done.
  if (is_whole_pair(stem)) {
    keep_as(state_path(stem), state_path(previous(stem)));
    keep_as(weights_path(stem), weights_path(previous(stem)));
    sync_folder_of(stem);
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
  if (hash_of(found.weights, found.state) != weights_id)
    found.note += joined(found.note.empty() ? "" : "; ", weights_path(found.note.empty() ? stem : previous(stem)),
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
