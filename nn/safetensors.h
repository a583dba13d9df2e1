#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

// Named tensors in a file, in the format of github.com/huggingface/safetensors, which PyTorch and others read too:
//
//   8 bytes     n, the length of the header
//   n bytes     the header, JSON: {"NAME": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]}, ..,
//               "__metadata__": {"KEY": "TEXT", ..}}; offsets count from the end of the header
//   the rest    the elements of the tensors, in row-major order, without holes
//
// All numbers are little-endian. The reader checks every claim of the header against the file before it relies on it.
// Reading takes at most 40 bytes of memory for each byte of the header, the bytes of the tensors, and 64 kB; and 3 us
// of a core for each byte of the header and 50 ms.
namespace poph {

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

struct TensorEntry {
  std::string name, dtype;  // dtype as in the file: "F32", "BF16", ..
  std::vector<uint64_t> shape;
  uint64_t begin = 0, bytes = 0;  // begin counts from the end of the header
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
  uint64_t bytes = 0;  // of the length field and the JSON: the elements begin there
};

// Reads the header alone, and accepts every legal dtype. Error: "PATH: what was found, what was expected".
SafetensorsHeader inspect_safetensors(const std::string& path);

// The tensors lie on the CPU and have the file's own dtypes: F32, F64, BF16 and I32. Another legal one is an Error that
// names the tensor.
TensorFile read_safetensors(const std::string& path);

// The bytes that the reference writer gives: larger dtypes first, then by name. Tensors may be on any device.
std::string safetensors_bytes(const TensorFile& file);
void write_safetensors(const std::string& path, const TensorFile& file);  // by write_file_durably

}  // namespace poph
