#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

// Hashes that tell contents apart and put them into an order by chance. Whoever wants to can make two files of one hash; they are
// then taken for copies of each other.
namespace poph {

inline uint64_t mixed(uint64_t x) {  // splitmix64's finaliser: every input bit reaches every output bit
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

inline uint64_t combined(uint64_t hash, uint64_t value) { return mixed((hash ^ value) * 0x9E3779B97F4A7C15u + 1); }

inline uint64_t hash_of(std::span<const uint8_t> bytes) {
  uint64_t hash = combined(0, bytes.size());
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, &bytes[at], std::min<size_t>(8, bytes.size() - at));
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return mixed(hash);
}

}  // namespace poph
