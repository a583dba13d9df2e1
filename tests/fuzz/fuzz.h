#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tensor/error.h"

// What the targets share. A target is libFuzzer's: LLVMFuzzerTestOneInput, and where lengths would make most changes useless a
// LLVMFuzzerCustomMutator that mends them. replay.cpp runs the same targets without libFuzzer.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed);
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace poph::fuzz {

// What must hold whatever the input is. libFuzzer and replay keep the input when the program aborts.
inline void promise(bool kept, std::string_view what) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// Whether the reader took the input. It may refuse it with an Error of one line of bounded length, and in no other way.
template <class Action>
bool reads(const Action& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    const std::string_view text = error.what();
    promise(!text.empty() && text.size() < 4000, "an error message is short");
    for (const char c : text) promise(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "an error message is one line");
    return false;
  }
}

// Of the input: chooses settings, the same ones for the same input.
inline uint64_t hash_of(const uint8_t* data, size_t size) {
  uint64_t hash = 0xCBF29CE484222325;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 0x100000001B3;
  return hash ^ hash >> 29;
}

}  // namespace poph::fuzz
