#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "nn/checkpoint.h"
#include "nn/safetensors.h"
#include "tests/fuzz/fuzz.h"

// A safetensors file: its header, its tensors, and both written again. An input of several files, with `between`
// between them, is a checkpoint: weights and state, and after them perhaps the pair before.
namespace poph::fuzz {
namespace {

constexpr std::string_view between = "\n--\n";

// A file in memory; /proc names it.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("input", MFD_CLOEXEC)) {}
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  void hold(std::string_view bytes) const {
    promise(
        ::ftruncate(descriptor_, 0) == 0 && ::pwrite(descriptor_, bytes.data(), bytes.size(), 0) == std::ssize(bytes),
        "there is memory");
  }

 private:
  int descriptor_;
};

bool same(const TensorFile& a, const TensorFile& b) {
  if (a.metadata != b.metadata || a.tensors.size() != b.tensors.size()) return false;
  return std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.shape() == y.second.shape() && x.second.dtype() == y.second.dtype() &&
           (x.second.bytes() == 0 || std::memcmp(x.second.raw(), y.second.raw(), x.second.bytes()) == 0);
  });
}

void check_file(std::string_view bytes) {
  static const MemoryFile input, again;
  input.hold(bytes);
  const auto whole = [&] {
    const SafetensorsHeader header = inspect_safetensors(input.path());
    uint64_t sum = header.bytes;
    for (const auto& entry : header.entries) sum += entry.bytes;
    promise(sum == bytes.size(), "header and tensors are the whole file");
  };
  if (!reads(whole)) {
    promise(!reads([&] { read_safetensors(input.path()); }), "a header that is refused has no tensors");
    return;
  }
  TensorFile file;
  if (!reads([&] { file = read_safetensors(input.path()); })) return;
  again.hold(safetensors_bytes(file));
  promise(same(file, read_safetensors(again.path())), "what was read can be written and read again");
}

const std::string& stem() {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("fuzz_" + std::to_string(::getpid()))).string();
  return path;
}

void check_checkpoint(std::string_view bytes) {
  const char* const names[] = {".safetensors", ".state.safetensors", ".previous.safetensors",
                               ".previous.state.safetensors"};
  for (const char* name : names) {
    const size_t end = std::min(bytes.find(between), bytes.size());
    if (!bytes.empty()) std::ofstream(stem() + name, std::ios::binary) << bytes.substr(0, end);
    bytes.remove_prefix(std::min(bytes.size(), end + between.size()));
  }
  reads([&] {
    const Checkpoint found = load_checkpoint(stem());
    promise(found.weights.metadata.at("save_id") == found.state.metadata.at("save_id"), "a pair is of one save");
    Tensor weight({2, 2}, Dtype::f32);
    reads([&] { assign_weights(found.weights, stem(), {{"w", &weight}}); });
  });
  for (const char* name : names) std::remove((stem() + name).c_str());
}

}  // namespace
}  // namespace poph::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poph::fuzz;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.find(between) == bytes.npos)
    check_file(bytes);
  else
    check_checkpoint(bytes);
  return 0;
}

// Three times of four each file's header length is made to fit, and half of these times its tensors' bytes too: the
// last number of the JSON is where they end.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  using poph::fuzz::between;
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 == 0) return size;
  std::string mended;
  for (std::string_view left(reinterpret_cast<const char*>(data), size);; mended += between) {
    const size_t end = std::min(left.find(between), left.size()), json_end = left.substr(0, end).rfind('}');
    std::string file(left.substr(0, end));
    if (json_end != left.npos && json_end >= 8) {
      const uint64_t length = json_end + 1 - 8;
      std::memcpy(file.data(), &length, 8);
      const size_t digit = file.find_last_of("0123456789", json_end),
                   comma = file.find_last_of(",[", std::min(digit, json_end));
      if (seed % 2 && digit != file.npos && comma != file.npos)
        file.resize(json_end + 1 + std::strtoul(file.c_str() + comma + 1, nullptr, 10) % 512);
    }
    mended += file;
    if (end == left.size()) break;
    left.remove_prefix(end + between.size());
  }
  if (mended.size() > max_size) return size;
  std::memcpy(data, mended.data(), mended.size());
  return mended.size();
}
