#pragma once
#include "tensor/host_device.h"
#include "tensor/kernel.h"
#include "tensor/ops.h"

// What the forms of attention share. Only kernel sources include this.
namespace poph {

struct AttentionSizes {
  int64_t groups, queries, keys, heads, width, features;  // width: of one head
};

struct VisibleKeys {  // how many keys a query sees
  int64_t offset, step, keys;
  POPH_HD int64_t operator()(int64_t query) const {
    if (step == 0) return keys;
    const int64_t seen = ((offset + query) / step + 1) * step;
    return seen < keys ? seen : keys;
  }
};

// Dropout of the probabilities: row * blocks_per_row + key / 4 is a block of random numbers, row being one of [G, heads, Lq].
struct AttentionDrop {
  RandomKey key;
  uint32_t threshold;
  double kept;  // 0: no dropout
  int64_t blocks_per_row;
  // Multiplies weights[0, count) of a row by its mask.
  template <class T>
  POPH_HD void apply(int64_t row, T* weights, int64_t count) const {
    if (kept == 0) return;
    const int64_t whole = count / 4;
    for (int64_t block = 0; block < whole; ++block) {
      const Philox4 bits = key.block(row * blocks_per_row + block);
      weights[block * 4] *= factor<T>(bits.word[0]);
      weights[block * 4 + 1] *= factor<T>(bits.word[1]);
      weights[block * 4 + 2] *= factor<T>(bits.word[2]);
      weights[block * 4 + 3] *= factor<T>(bits.word[3]);
    }
    for (int64_t i = whole * 4; i < count; ++i) weights[i] *= factor<T>(key.bits(row * blocks_per_row * 4 + i));
  }
  template <class T>
  POPH_HD T factor(uint32_t bits) const { return bits >= threshold ? T(kept) : T(0); }
};

struct AttentionPlan {  // what one call is to do
  AttentionSizes sizes;
  VisibleKeys visible;
  AttentionDrop drop;
  double scale;
};

// The CPU's float32 form (attention_blocks.cpp).
AttentionResult attention_blocks(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan);
AttentionGradients attention_grad_blocks(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionResult& forward,
                                         const AttentionPlan& plan, const Tensor& dy);

#ifdef POPH_KERNELS
// The GPU's form of float32 and bf16 (flash_attention.cu), for heads that are at most so wide, with the arguments checked: tiles of
// queries and keys, no scores in memory.
constexpr int64_t widest_flash_head = 128;
AttentionResult flash_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSizes& s, double scale,
                                const VisibleKeys& visible, const AttentionDrop& drop);
AttentionGradients flash_attention_grad(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionResult& forward,
                                        const AttentionSizes& s, double scale, const VisibleKeys& visible, const AttentionDrop& drop,
                                        const Tensor& dy);
#endif

}  // namespace poph
