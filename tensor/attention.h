#pragma once
#include "tensor/host_device.h"
#include "tensor/kernel.h"
#include "tensor/ops.h"

// Below attention and attention_grad of ops.h: the forms that they choose from, and what these share.
namespace poph {

// Attention from matrix products and softmax rows over all keys: what runs on the GPU in f64, on the CPU in f64 and
// bf16 and for a few queries, and the twin of the packed form and of the GPU's.
AttentionResult attention_plain(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings);
AttentionGradients attention_grad_plain(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const AttentionResult& forward, const AttentionSettings& settings,
                                        const Tensor& dy);

struct AttentionSizes {
  int64_t groups, queries, keys, heads, width, features;  // width: of one head
};

struct VisibleKeys {  // which keys a query sees: [first(group, query), (*this)(query))
  int64_t offset, step, keys;
  const int32_t* begins = nullptr;    // [steps, groups]
  int64_t groups = 0, positions = 0;  // positions of a step
  POPH_HD int64_t first(int64_t group, int64_t query) const {
    if (!begins) return 0;
    const int64_t begin = begins[query / positions * groups + group];
    return begin > 0 ? begin * positions : 0;
  }
  POPH_HD int64_t operator()(int64_t query) const {
    if (step == 0) return keys;
    const int64_t seen = ((offset + query) / step + 1) * step;
    return seen < keys ? seen : keys;
  }
};

// Dropout of the probabilities: row * blocks_per_row + key / 4 is a block of random numbers, row being one of [G,
// heads, Lq].
struct AttentionDrop {
  RandomKey key;
  uint32_t threshold;
  double scale;  // of a probability that stays; 0: no dropout
  int64_t blocks_per_row;
  // Multiplies weights[0, count) of a row by its mask.
  template <class T>
  POPH_HD void apply(int64_t row, T* weights, int64_t count) const {
    if (scale == 0) return;
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
  POPH_HD T factor(uint32_t bits) const {
    return bits >= threshold ? T(scale) : T(0);
  }
};

struct AttentionPlan {  // one call
  AttentionSizes sizes;
  VisibleKeys visible;
  AttentionDrop drop;
  double scale;
};

// The CPU's float32 form (cpu/attention.cpp), with the arguments checked.
AttentionResult attention_packed(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan);
AttentionGradients attention_grad_packed(const Tensor& q, const Tensor& k, const Tensor& v,
                                         const AttentionResult& forward, const AttentionPlan& plan, const Tensor& dy);

#ifdef POPH_KERNELS
// The GPU's form of float32 and bf16 (flash_attention.cu), with the arguments checked: tiles of queries and keys, no
// scores in memory.
constexpr int64_t max_flash_width = 128;  // of a head
AttentionResult flash_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSizes& s,
                                double scale, const VisibleKeys& visible, const AttentionDrop& drop);
AttentionGradients flash_attention_grad(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const AttentionResult& forward, const AttentionSizes& s, double scale,
                                        const VisibleKeys& visible, const AttentionDrop& drop, const Tensor& dy);
#endif

}  // namespace poph
