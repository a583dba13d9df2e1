#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "data/files/hash.h"
#include "tensor/error.h"

// Shared by the targets. A target is libFuzzer's: LLVMFuzzerTestOneInput, and where lengths would make most changes
// useless a LLVMFuzzerCustomMutator that mends them. replay.cpp runs the same targets without libFuzzer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed);
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace poph::fuzz {

// Ends the program unless this holds, as it must for any input; libFuzzer and replay then write the input to a file.
inline void promise(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// True if the reader took the input. It may refuse it with an Error of one line of bounded length, and in no other way.
template <class Action>
bool reads(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const std::string_view text = error.what();
    promise(!text.empty() && text.size() < 4000, "an error message is short");
    for (const char c : text)
      promise(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "an error message is one line");
    return false;
  }
}

// Chooses settings by the input, the same ones for the same input.
inline uint64_t input_hash(const uint8_t* data, size_t size) {
  const uint64_t hash = text_hash({reinterpret_cast<const char*>(data), size});
  return hash ^ hash >> 29;
}

}  // namespace poph::fuzz
