#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tensor/tensor.h"

// Named tensors in a file that PyTorch and others read too: 8 bytes of length, a JSON header, then the numbers, little-endian.
// Format: github.com/huggingface/safetensors. Whatever the header claims is checked against the file before it is believed.
// Reading takes at most 40 bytes of memory for each byte of the header, as much as the tensors have, and 64 kB; 3 us of a core for each
// byte and 50 ms.
namespace poph {

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

struct TensorEntry {
  std::string name, dtype;  // dtype as the file says it: "F32", "BF16", ..
  std::vector<uint64_t> shape;
  uint64_t begin = 0, bytes = 0;  // begin counts from the end of the header
};

struct SafetensorsHeader {
  std::vector<TensorEntry> entries;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
  uint64_t bytes = 0;  // the length field and the JSON: where the numbers begin
};

// Every legal dtype; reads the header alone. Error "PATH: what was found, what was expected".
SafetensorsHeader inspect_safetensors(const std::string& path);

// On the CPU, with the file's own dtypes: F32, F64, BF16 and I32. Another legal one is an Error that names the tensor.
TensorFile read_safetensors(const std::string& path);

// The bytes that the reference writer gives: larger dtypes first, then by name. Tensors may be on any device.
std::string safetensors_bytes(const TensorFile& file);
void write_safetensors(const std::string& path, const TensorFile& file);  // as write_file_durably does

}  // namespace poph
