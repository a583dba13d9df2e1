#pragma once
#include <utility>

#include "tensor/cpu/packed_panels.h"
#include "tensor/random.h"

// Philox of random.h for many neighbouring blocks at once. GCC vectorises the plain form too, but with as many shuffles
// as arithmetic; here a word has a lane of 64 bits to itself, whose upper half holds what happens to be there. Only
// kernel sources include this.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 does not see a vector's lanes being set one by one

namespace poph {

template <int W>
struct Simd64 {  // as many bits as W floats
  typedef uint64_t Vector __attribute__((vector_size(W * sizeof(float))));
  typedef long long Signed __attribute__((vector_size(W * sizeof(float))));
  typedef int Ints __attribute__((vector_size(W * sizeof(float))));
  typedef uint32_t Words __attribute__((vector_size(W * sizeof(float))));
};

// Products of the lower halves of lanes.
template <int W>
POPH_INLINE typename Simd64<W>::Vector multiply_words(typename Simd64<W>::Vector a, uint32_t factor) {
  using Vector = typename Simd64<W>::Vector;
  const Vector b = Vector{} + factor;
#if defined(__x86_64__) && !defined(__clang__)  // GCC 12 does not find this instruction for the line at the end
  using Ints = typename Simd64<W>::Ints;
  if constexpr (W == 4)
    return (Vector)__builtin_ia32_pmuludq128((Ints)a, (Ints)b);
  else if constexpr (W == 8)
    return (Vector)__builtin_ia32_pmuludq256((Ints)a, (Ints)b);
  else
    return (Vector)__builtin_ia32_pmuludq512_mask((Ints)a, (Ints)b, typename Simd64<W>::Signed{}, 255);
#else
  return (a & 0xffffffffu) * b;
#endif
}

// W / 2 neighbouring blocks.
template <int W>
struct PhiloxLanes {
  using Vector = typename Simd64<W>::Vector;
  using Words = typename Simd64<W>::Words;
  static constexpr int blocks = W / 2;
  Vector c0, c1, c2, c3;

  POPH_INLINE PhiloxLanes(const RandomKey& key, uint64_t first) {
#pragma GCC unroll 8
    for (int i = 0; i < blocks; ++i) c0[i] = first + i;
    c1 = Vector{} + key.site;
    c2 = Vector{} + key.step;
    c3 = (c0 >> 32 << 8) | key.last_word();
  }
  POPH_INLINE void round(uint32_t key0, uint32_t key1) {
    const Vector product0 = multiply_words<W>(c0, philox_multiplier0),
                 product1 = multiply_words<W>(c2, philox_multiplier1);
    c0 = (product1 >> 32) ^ c1 ^ key0;
    c1 = product1;
    c2 = (product0 >> 32) ^ c3 ^ key1;
    c3 = product0;
  }
  // Elements whose word is at least the threshold become `scale`, the others 0.
  POPH_INLINE void select(uint32_t threshold, float scale, float* to) const {
    const Vector words01 = (c0 & 0xffffffffu) | (c1 << 32), words23 = (c2 & 0xffffffffu) | (c3 << 32);
    const Words bits = (Words)(typename Simd<W>::Vector{} + scale);
    const auto lanes = std::make_index_sequence<blocks>{};
    const Words first = paired<0>(words01, words23, lanes), second = paired<blocks / 2>(words01, words23, lanes);
    store<W>(to, (typename Simd<W>::Vector)((Words)(first >= threshold) & bits));
    store<W>(to + W, (typename Simd<W>::Vector)((Words)(second >= threshold) & bits));
  }
  // From the block `begin` on, a block's two pairs of words one after the other.
  template <int begin, size_t... lane>
  static POPH_INLINE Words paired(Vector words01, Vector words23, std::index_sequence<lane...>) {
    return (Words)__builtin_shufflevector(words01, words23, (begin + lane / 2 + lane % 2 * blocks)...);
  }
};

// to[i] = scale where dropout keeps element 4 * first_block + i, and 0 elsewhere. Writes `count` rounded up to a
// multiple of 64.
template <int W>
POPH_INLINE void scale_or_zero(const RandomKey& key, uint64_t first_block, uint32_t threshold, float scale,
                               int64_t count, float* to) {
  constexpr int blocks = PhiloxLanes<W>::blocks;
  for (int64_t block = 0; 4 * block < count; block += 2 * blocks) {
    PhiloxLanes<W> one(key, first_block + block),
        other(key, first_block + block + blocks);  // rounds wait for each other: two at a time
    uint32_t key0 = static_cast<uint32_t>(key.seed), key1 = static_cast<uint32_t>(key.seed >> 32);
#pragma GCC unroll 10
    for (int i = 0; i < philox_rounds; ++i, key0 += philox_step0, key1 += philox_step1) {
      one.round(key0, key1);
      other.round(key0, key1);
    }
    one.select(threshold, scale, to + 4 * block);
    other.select(threshold, scale, to + 4 * (block + blocks));
  }
}

}  // namespace poph
