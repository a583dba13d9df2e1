#pragma once
#include <cstdint>

#include "tensor/host_device.h"

// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): random numbers as a pure function
// of a key and a counter, the same on every device.
namespace poph {

struct Philox4 {
  uint32_t word[4];
};

constexpr uint32_t philox_multiplier0 = 0xD2511F53, philox_multiplier1 = 0xCD9E8D57;
constexpr uint32_t philox_step0 = 0x9E3779B9, philox_step1 = 0xBB67AE85;  // of the key, from round to round
constexpr int philox_rounds = 10;

struct PhiloxState {
  uint32_t c0, c1, c2, c3, key0, key1;
  POPH_HD void round() {
    const uint64_t product0 = uint64_t{philox_multiplier0} * c0, product1 = uint64_t{philox_multiplier1} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(product1);
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(product0);
    key0 += philox_step0;
    key1 += philox_step1;
  }
};

POPH_HD Philox4 philox(uint32_t key0, uint32_t key1, Philox4 counter) {
  PhiloxState s{counter.word[0], counter.word[1], counter.word[2], counter.word[3], key0, key1};
  // Spelt out: a loop in here keeps GCC from vectorising the one around it.
  s.round(), s.round(), s.round(), s.round(), s.round();
  s.round(), s.round(), s.round(), s.round(), s.round();
  return {{s.c0, s.c1, s.c2, s.c3}};
}

enum class RandomUse : uint32_t { initial_weights, dropout, sampling };

// The place of a random number (MODEL.md "Random numbers"). The generator's key is the seed, its counter (element / 4,
// site, step, use); the four words it gives serve elements 4k .. 4k+3. Elements beyond 2^34 spill into the upper
// bits of the use's word.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t site = 0;  // which call: layer, piece
  uint32_t step = 0;  // training step, time step
  RandomUse use = RandomUse::dropout;
  // Where set, the step is read from here and not from `step`: a replayed graph serves later steps.
  const uint32_t* step_at = nullptr;
  uint32_t stream = 0;  // of a shard, below 4096

  POPH_HD uint64_t last_word() const { return static_cast<uint32_t>(use) | stream << 20; }
  POPH_HD Philox4 block(uint64_t index) const { return block(index, step_at ? *step_at : step); }
  POPH_HD Philox4 block(uint64_t index, uint32_t at_step) const {
    return philox(
        static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
        {{static_cast<uint32_t>(index), site, at_step, static_cast<uint32_t>(last_word() | index >> 32 << 8)}});
  }
  // The same key with its step at hand. Loops on the CPU use it: one that reads the step each time is not vectorised.
  RandomKey fixed() const { return {seed, site, step_at ? *step_at : step, use, nullptr, stream}; }
  POPH_HD uint32_t bits(uint64_t element) const { return block(element / 4).word[element % 4]; }
};

// 24 bits as a number in [0, 1), exact in float.
POPH_HD float uniform_from_bits(uint32_t bits) { return static_cast<float>(bits >> 8) * (1.0f / 16777216.0f); }

// Dropout keeps an element whose bits are at least this.
inline uint32_t drop_threshold(double probability) { return static_cast<uint32_t>(probability * 4294967296.0); }

// The factor of each element under dropout, for ops that apply it to their own results.
struct DropMask {
  RandomKey key;
  uint32_t threshold = 0;
  double scale = 1;  // of an element that stays
  DropMask(double probability, const RandomKey& key)
      : key(key), threshold(drop_threshold(probability)), scale(1 / (1 - probability)) {}
  POPH_HD double factor(uint64_t element) const { return threshold == 0 || key.bits(element) >= threshold ? scale : 0; }
  // Of `count` neighbours within four that begin at a multiple of four.
  template <int count>
  POPH_HD void factors(uint64_t element, double (&of)[count]) const {
    Philox4 bits{};
    if (threshold) bits = key.block(element / 4);
    for (int e = 0; e < count; ++e) of[e] = threshold == 0 || bits.word[element % 4 + e] >= threshold ? scale : 0;
  }
};

// Dropout that an op applies to its result as it writes it, with the numbers that dropout() would draw for it.
struct OutputDropout {
  double probability = 0;
  RandomKey key = {};
};
// Applies it to elements [first, first + count) of a result, from x to y. On the calling thread; CPU, f32.
void drop_elements(const OutputDropout& dropout, int64_t first, int64_t count, const float* x, float* y);

}  // namespace poph
