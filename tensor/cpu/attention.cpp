#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/attention.h"
#include "tensor/cpu/packed_panels.h"
#include "tensor/cpu/random_lanes.h"

// Attention on the CPU in float32 (Dao et al. 2022, "FlashAttention"): blocks of queries meet blocks of keys one after
// the other, so that scores live in a cache only. A query keeps the largest of its scores so far and the sum of its
// exponentials; its sums are scaled anew whenever a larger score is found. Scores are in units of log 2.
namespace poph {
namespace {

// Sizes of one product, so that its scores stay in the second-level cache, and the queries of a work item, which share
// the packed keys. An item of the backward pass has as many keys.
constexpr int64_t query_block = 96, key_block = 256, gradient_key_block = 128, item_rows = 384;
constexpr float log2_e = 1.44269504088896341f, ln_2 = 0.693147180559945309f,
                infinity = std::numeric_limits<float>::infinity();
// In place of the score of a key that lies before all that a query sees. Where a block has no others, what it adds is
// scaled to 0 by the first key that is seen.
constexpr float hidden_score = -1e37f;

template <int W>
struct SimdInts {
  typedef int32_t Vector __attribute__((vector_size(W * sizeof(int32_t))));
};

// 2^x with an error below 2e-7 for -126 <= x < 128, and 0 below: the integer next to x becomes the exponent, a
// polynomial does the rest.
template <int W>
POPH_INLINE typename Simd<W>::Vector exp2_of(typename Simd<W>::Vector x) {
  using Vector = typename Simd<W>::Vector;
  // Wraps below -126, where the result is 0.
  typedef uint32_t Bits __attribute__((vector_size(W * sizeof(uint32_t))));
  constexpr float rounds = 12582912;  // 1.5 * 2^23: adding it leaves the nearest integer in the lowest bits
  const Vector shifted = x + rounds, f = x - (shifted - rounds);
  Vector p = 0.001326472730f * f + 0.009671512991f;
  p = p * f + 0.055507335812f;
  p = p * f + 0.240222424269f;
  p = p * f + 0.693147003651f;
  p = p * f + 1.0f;
  const Vector power = (Vector)(((Bits)shifted << 23) + 0x3F800000u);
  return x < -126.0f ? Vector{} : p * power;
}

// The first `count` lanes of x; `other` in the rest.
template <int W>
POPH_INLINE typename Simd<W>::Vector first_lanes(typename Simd<W>::Vector x, int64_t count, float other) {
  typename SimdInts<W>::Vector numbers;
#pragma GCC unroll 16
  for (int i = 0; i < W; ++i) numbers[i] = i;
  return numbers < static_cast<int32_t>(count) ? x : typename Simd<W>::Vector{} + other;
}

template <int half, class Vector, size_t... lane>
POPH_INLINE Vector exchanged(Vector x, std::index_sequence<lane...>) {
  return __builtin_shufflevector(x, x, (lane ^ half)...);
}

// Folds all lanes with f, in pairs.
template <int W, int half = W / 2, class F>
POPH_INLINE float across(typename Simd<W>::Vector x, F f) {
  if constexpr (half == 0)
    return x[0];
  else
    return across<W, half / 2>(f(x, exchanged<half>(x, std::make_index_sequence<W>{})), f);
}
struct Add {
  template <class V>
  POPH_INLINE V operator()(V a, V b) const {
    return a + b;
  }
};
struct Largest {
  template <class V>
  POPH_INLINE V operator()(V a, V b) const {
    return a > b ? a : b;
  }
};

// Some queries and some keys. A row's scores end at the last key that it sees; zeros follow.
struct ScoreBlock {
  const AttentionPlan& plan;
  int64_t rows, columns, group, first_query, first_key, first_row, stride;  // first_row: of [G, heads, Lq, Lk]
  float scale = static_cast<float>(plan.scale) * log2_e;

  int64_t seen(int64_t row) const {
    return std::clamp<int64_t>(plan.visible(first_query + row) - first_key, 0, columns);
  }
  void hide(int64_t row, float* scores) const {
    const int64_t hidden = plan.visible.first(group, first_query + row) - first_key;
    std::fill_n(scores, std::clamp<int64_t>(hidden, 0, columns), hidden_score);
  }
  template <int W>
  POPH_INLINE void drop_factors(int64_t row, int64_t count, float* to) const {
    scale_or_zero<W>(plan.drop.key, (first_row + row) * plan.drop.blocks_per_row + first_key / 4, plan.drop.threshold,
                     static_cast<float>(plan.drop.scale), count, to);
  }
};

// From raw scores to exponentials, which replace them.
struct OnlineSoftmax {
  ScoreBlock block;
  float *scores, *largest, *total;
  float* gathered;  // the rows' weighted sums of values, from earlier blocks
  int64_t gathered_stride, gathered_width;

  template <class Tile>
  POPH_INLINE void run() const {
    constexpr int W = Tile::W;
    for (int64_t row = 0; row < block.rows; ++row) run_row<W>(row, block.seen(row));
  }
  template <int W>
  POPH_INLINE void run_row(int64_t row, int64_t seen) const {
    using Vector = typename Simd<W>::Vector;
    float* x = scores + row * block.stride;
    block.hide(row, x);
    const int64_t whole = seen / W * W, end = padded(block.columns);
    const bool is_first = block.first_key == 0;
    Vector max = Vector{} - infinity, sum{};
    for (int64_t i = 0; i < whole; i += W) max = Largest()(max, load<W>(x + i) * block.scale);
    if (whole < seen) max = Largest()(max, first_lanes<W>(load<W>(x + whole) * block.scale, seen - whole, -infinity));
    const float before = is_first ? -infinity : largest[row], now = std::max(before, across<W>(max, Largest()));
    for (int64_t i = 0; i < whole; i += W) {
      const Vector p = exp2_of<W>(load<W>(x + i) * block.scale - now);
      store<W>(x + i, p);
      sum += p;
    }
    if (whole < seen) {
      const Vector p = first_lanes<W>(exp2_of<W>(load<W>(x + whole) * block.scale - now), seen - whole, 0);
      store<W>(x + whole, p);
      sum += p;
    }
    for (int64_t i = (seen + W - 1) / W * W; i < end; i += W) store<W>(x + i, Vector{});
    float earlier = is_first ? 0 : total[row];
    if (now > before && !is_first) {
      const float factor = exp2_of<W>(Vector{} + (before - now))[0];
      earlier *= factor;
      float* y = gathered + row * gathered_stride;
      for (int64_t i = 0; i < gathered_width; i += W) store<W>(y + i, load<W>(y + i) * factor);
    }
    total[row] = earlier + across<W>(sum, Add());
    largest[row] = now;
    if (block.plan.drop.scale != 0) {
      float factors[key_block];
      block.drop_factors<W>(row, seen, factors);
      for (int64_t i = 0; i < seen; i += W) store<W>(x + i, load<W>(x + i) * load<W>(factors + i));
    }
  }
};

// Divides the rows' weighted sums by the sums of their exponentials.
struct Normalise {
  int64_t rows, width, from_stride, to_stride;
  const float *from, *total, *largest;
  float *to, *log_sum_exp;

  template <class Tile>
  POPH_INLINE void run() const {
    constexpr int W = Tile::W;
    for (int64_t row = 0; row < rows; ++row) {
      const float factor = 1 / total[row];
      for (int64_t i = 0; i < width; i += W)
        store<W>(to + row * to_stride + i, load<W>(from + row * from_stride + i) * factor, width - i);
      log_sum_exp[row] = (largest[row] + std::log2(total[row])) * ln_2;
    }
  }
};

// sum(a b) for each row.
struct RowDots {
  int64_t rows, width, stride;
  const float *a, *b;
  float* dots;

  template <class Tile>
  POPH_INLINE void run() const {
    constexpr int W = Tile::W;
    const int64_t whole = width / W * W;
    for (int64_t row = 0; row < rows; ++row) {
      const float *x = a + row * stride, *y = b + row * stride;
      typename Simd<W>::Vector sum{};
      for (int64_t i = 0; i < whole; i += W) sum += load<W>(x + i) * load<W>(y + i);
      float dot = across<W>(sum, Add());
      for (int64_t i = whole; i < width; ++i) dot += x[i] * y[i];
      dots[row] = dot;
    }
  }
};

// From raw scores and dP (gradient of the dropped-out probabilities) to the dropped-out probabilities and dS, both in
// place.
struct SoftmaxGrad {
  ScoreBlock block;
  float *scores, *dscores;
  const float *log_sum_exp, *dots;  // of the rows; dots: sum of probability times gradient

  template <class Tile>
  POPH_INLINE void run() const {
    constexpr int W = Tile::W;
    for (int64_t row = 0; row < block.rows; ++row) {
      if (block.plan.drop.scale != 0)
        run_row<W, true>(row, block.seen(row));
      else
        run_row<W, false>(row, block.seen(row));
    }
  }
  template <int W, bool has_drop>
  POPH_INLINE void run_row(int64_t row, int64_t seen) const {
    using Vector = typename Simd<W>::Vector;
    float *x = scores + row * block.stride, *dx = dscores + row * block.stride;
    const float scale = static_cast<float>(block.plan.scale), dot = dots[row], normaliser = log_sum_exp[row] * log2_e;
    block.hide(row, x);
    float factors[gradient_key_block];
    if constexpr (has_drop) block.drop_factors<W>(row, seen, factors);
    const int64_t whole = seen / W * W, end = padded(block.columns);
    for (int64_t i = 0; i < end; i += W) {
      const Vector excess = load<W>(x + i) * block.scale - normaliser;  // above 0 by rounding alone
      Vector p = exp2_of<W>(0.0f < excess ? Vector{} : excess), dp = load<W>(dx + i);
      if constexpr (has_drop) dp *= load<W>(factors + i);
      Vector ds = scale * p * (dp - dot);
      if constexpr (has_drop) p *= load<W>(factors + i);
      if (i >= whole) {
        p = first_lanes<W>(p, seen - i, 0);
        ds = first_lanes<W>(ds, seen - i, 0);
      }
      store<W>(x + i, p);
      store<W>(dx + i, ds);
    }
  }
};

// One head of one group: rows of [G, L, heads * width].
struct Head {
  const AttentionSizes& s;
  int64_t group, head;
  float* queries(const Tensor& x, int64_t first) const { return rows(x, s.queries, first); }
  float* keys(const Tensor& x, int64_t first) const { return rows(x, s.keys, first); }
  int64_t score_row(int64_t query) const { return (group * s.heads + head) * s.queries + query; }

 private:
  float* rows(const Tensor& x, int64_t length, int64_t first) const {
    return x.data<float>() + (group * length + first) * s.features + head * s.width;
  }
};

// A thread's part of one tensor, from which pieces are taken.
class Workspace {
 public:
  explicit Workspace(const Tensor& all) : next_(all.data<float>() + omp_get_thread_num() * all.shape()[1]) {}
  float* take(int64_t elements) {
    float* taken = next_;
    next_ += padded(elements);
    return taken;
  }

 private:
  float* next_;
};

int64_t blocks_of(int64_t size, int64_t length) { return (length + size - 1) / size; }
bool is_worth_threads(const AttentionSizes& s) { return s.groups * s.heads * s.queries * s.keys * s.width > 1 << 18; }

// The share of some queries and some keys of a head in the gradients.
struct GradientItem {
  const AttentionPlan& plan;
  const Tensor &q, &k, &v, &dy, &log_sum_exp, &dots;
  const AttentionGradients& g;
  Head head;

  static int64_t max_rows(const AttentionSizes& s) { return padded(std::min(item_rows, s.queries)); }
  static int64_t max_keys(const AttentionSizes& s) { return padded(std::min(gradient_key_block, s.keys)); }
  static int64_t score_stride(const AttentionSizes& s) { return padded_stride(max_keys(s)); }
  static int64_t scores_size(const AttentionSizes& s) { return std::min(query_block, max_rows(s)) * score_stride(s); }
  static int64_t workspace(const AttentionSizes& s) {
    return max_keys(s) * (2 * s.width + padded(s.width)) + 2 * max_rows(s) * padded(s.width) + 2 * scores_size(s);
  }

  // is_first: nothing was written to these sums before.
  void run(int64_t begin, int64_t begin_key, bool is_first, Workspace own) const {
    const AttentionSizes& s = plan.sizes;
    const int64_t rows = std::min(item_rows, s.queries - begin), width = padded(s.width), stride = score_stride(s);
    if (rows <= 0) {  // queries are fewer than keys
      for (int64_t key = begin_key; is_first && key < std::min(s.keys, begin_key + item_rows); ++key) {
        std::fill_n(head.keys(g.dk, key), s.width, 0.0f);
        std::fill_n(head.keys(g.dv, key), s.width, 0.0f);
      }
      return;
    }
    const int64_t end_key = std::min(begin_key + item_rows, plan.visible(begin + rows - 1));
    if (begin_key >= end_key) return;
    float *k_panels = own.take(max_keys(s) * s.width), *v_panels = own.take(max_keys(s) * s.width),
          *k_rows = own.take(max_keys(s) * width), *q_rows = own.take(max_rows(s) * width),
          *dy_rows = own.take(max_rows(s) * width), *scores = own.take(scores_size(s)),
          *dscores = own.take(scores_size(s));
    for (int64_t row = 0; row < rows; row += query_block) {
      const int64_t count = std::min(query_block, rows - row);
      pack_columns(head.queries(q, begin + row), s.features, count, s.width, q_rows + row * width);
      pack_columns(head.queries(dy, begin + row), s.features, count, s.width, dy_rows + row * width);
    }
    for (int64_t key = begin_key; key < end_key; key += gradient_key_block) {
      const int64_t keys = std::min(gradient_key_block, end_key - key);
      float *dk = head.keys(g.dk, key), *dv = head.keys(g.dv, key);
      pack_transposed(head.keys(k, key), s.features, s.width, keys, k_panels);
      pack_transposed(head.keys(v, key), s.features, s.width, keys, v_panels);
      pack_columns(head.keys(k, key), s.features, keys, s.width, k_rows);
      const bool add_dq = !is_first || key > begin_key;
      bool add = !is_first;
      for (int64_t row = 0; row < rows; row += query_block) {
        const int64_t count = std::min(query_block, rows - row), first = begin + row;
        if (plan.visible(first + count - 1) <= key) continue;
        PanelProduct{count, keys, s.width, head.queries(q, first), s.features, 1, k_panels, scores, stride, false}();
        PanelProduct{count, keys, s.width, head.queries(dy, first), s.features, 1, v_panels, dscores, stride, false}();
        const ScoreBlock block{plan, count, keys, head.group, first, key, head.score_row(first), stride};
        run_kernel(SoftmaxGrad{block, scores, dscores, log_sum_exp.data<float>() + block.first_row,
                               dots.data<float>() + block.first_row});
        PanelProduct{keys, s.width, count, scores, 1, stride, dy_rows + row * width, dv, s.features, add}();
        PanelProduct{keys, s.width, count, dscores, 1, stride, q_rows + row * width, dk, s.features, add}();
        PanelProduct{count, s.width, keys, dscores, stride, 1, k_rows, head.queries(g.dq, first), s.features, add_dq}();
        add = true;
      }
    }
  }
};

}  // namespace

AttentionResult attention_packed(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan) {
  const AttentionSizes& s = plan.sizes;
  AttentionResult result{Tensor(q.shape(), Dtype::f32), Tensor({s.groups, s.heads, s.queries}, Dtype::f32)};
  const int64_t blocks = blocks_of(item_rows, s.queries), width = padded(s.width), y_stride = padded_stride(s.width);
  const int64_t max_rows = padded(std::min(item_rows, s.queries)), max_keys = padded(std::min(key_block, s.keys));
  const int64_t score_stride = padded_stride(max_keys), scores_size = std::min(query_block, max_rows) * score_stride;
  const Tensor memory({threads(), max_keys * (s.width + width) + scores_size + max_rows * (y_stride + 2)}, Dtype::f32);
#pragma omp parallel for schedule(dynamic) if (is_worth_threads(s))
  for (int64_t item = 0; item < s.groups * s.heads * blocks; ++item) {
    const Head head{s, item / s.heads % s.groups, item % s.heads};
    // The last queries see most keys: they come first.
    const int64_t begin = (blocks - 1 - item / s.heads / s.groups) * item_rows;
    const int64_t rows = std::min(item_rows, s.queries - begin), end_key = plan.visible(begin + rows - 1);
    Workspace own(memory);
    float *k_panels = own.take(max_keys * s.width), *v_panels = own.take(max_keys * width),
          *scores = own.take(scores_size), *y = own.take(max_rows * y_stride), *largest = own.take(max_rows),
          *total = own.take(max_rows);
    for (int64_t key = 0; key < end_key; key += key_block) {
      const int64_t keys = std::min(key_block, end_key - key);
      pack_transposed(head.keys(k, key), s.features, s.width, keys, k_panels);
      pack_columns(head.keys(v, key), s.features, keys, s.width, v_panels);
      for (int64_t row = 0; row < rows; row += query_block) {
        const int64_t count = std::min(query_block, rows - row), first = begin + row;
        const int64_t seen = std::min(keys, plan.visible(first + count - 1) - key);
        if (seen <= 0) continue;
        const int64_t columns = std::min(keys, blocks_of(panel_width(), seen) * panel_width());
        float* own_y = y + row * y_stride;
        PanelProduct{count, columns,  s.width, head.queries(q, first), s.features,
                     1,     k_panels, scores,  score_stride,           false}();
        const ScoreBlock block{plan, count, columns, head.group, first, key, head.score_row(first), score_stride};
        run_kernel(OnlineSoftmax{block, scores, largest + row, total + row, own_y, y_stride, width});
        PanelProduct{count, s.width, seen, scores, score_stride, 1, v_panels, own_y, y_stride, key > 0, keys}();
      }
    }
    run_kernel(Normalise{rows, s.width, y_stride, s.features, y, total, largest, head.queries(result.y, begin),
                         result.log_sum_exp.data<float>() + head.score_row(begin)});
  }
  return result;
}

AttentionGradients attention_grad_packed(const Tensor& q, const Tensor& k, const Tensor& v,
                                         const AttentionResult& forward, const AttentionPlan& plan, const Tensor& dy) {
  const AttentionSizes& s = plan.sizes;
  AttentionGradients g{Tensor(q.shape(), Dtype::f32), Tensor(k.shape(), Dtype::f32), Tensor(v.shape(), Dtype::f32)};
  const Tensor dots(forward.log_sum_exp.shape(), Dtype::f32);
#pragma omp parallel for schedule(static) if (is_worth_threads(s))
  for (int64_t item = 0; item < s.groups * s.heads; ++item) {
    const Head head{s, item / s.heads, item % s.heads};
    run_kernel(RowDots{s.queries, s.width, s.features, head.queries(forward.y, 0), head.queries(dy, 0),
                       dots.data<float>() + head.score_row(0)});
  }
  // In round r the i-th block of queries meets the (i + r)-th of keys: within a round no two work items add to the same
  // sums, and every sum is made in the order of the rounds. Round 0 begins all of them, for the last query of a block
  // sees that block's keys.
  const int64_t rounds = blocks_of(item_rows, s.keys);
  const Tensor memory({threads(), GradientItem::workspace(s)}, Dtype::f32);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma omp parallel for schedule(dynamic) if (is_worth_threads(s))
    for (int64_t item = 0; item < s.groups * s.heads * rounds; ++item) {
      const int64_t i = rounds - 1 - item / s.heads / s.groups;
      GradientItem{plan, q, k, v, dy, forward.log_sum_exp, dots, g, {s, item / s.heads % s.groups, item % s.heads}}.run(
          i * item_rows, (i + round) % rounds * item_rows, round == 0, Workspace(memory));
    }
  }
  return g;
}

}  // namespace poph
