#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

// The 64-bit hashes of PopH, all of them here because none may ever change: they name folders, order pieces for the
// split, and stand in checkpoints and caches. They tell contents apart. None is cryptographic: whoever wants to can
// make two files of one hash, which are then taken for copies of each other (data/files/sha256.h is for the rest).
namespace poph {

inline constexpr uint64_t golden_ratio = 0x9E3779B97F4A7C15u;  // 2^64 / 1.618.., odd
inline constexpr uint64_t fnv_start = 0xCBF29CE484222325u;

// splitmix64's finaliser (Steele, Lea and Flood 2014): every input bit reaches every output bit.
constexpr uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// splitmix64 itself: random numbers that are the same everywhere, which those of the standard library are not.
constexpr uint64_t next_random(uint64_t& state) { return mixed(state += golden_ratio); }

constexpr uint64_t combined(uint64_t hash, uint64_t value) { return mixed((hash ^ value) * golden_ratio + 1); }

// Eight bytes after another, as cheap as reading them; the last word is filled up with zeros.
constexpr uint64_t with_word(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * golden_ratio;
  return hash ^ hash >> 29;
}
inline uint64_t with_words(uint64_t hash, const void* bytes, size_t count) {
  const auto* from = static_cast<const char*>(bytes);
  for (size_t at = 0; at < count; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, from + at, std::min<size_t>(8, count - at));
    hash = with_word(hash, word);
  }
  return hash;
}

// Of a file's contents.
inline uint64_t content_hash(std::span<const uint8_t> bytes) {
  return mixed(with_words(combined(0, bytes.size()), bytes.data(), bytes.size()));
}
inline uint64_t content_hash(std::string_view bytes) {
  return content_hash({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// FNV-1a, byte by byte: of short texts.
constexpr uint64_t text_hash(std::string_view text, uint64_t hash = fnv_start) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

inline std::string hex_digits(uint64_t hash) {  // 16 of them
  std::string text(16, '0');
  for (size_t i = 0; i < 16; ++i) text[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
  return text;
}

}  // namespace poph
