#include "tensor/attention.h"

#include "tensor/gemm.h"
#include "tensor/parallel.h"

// softmax(scale Q K' + mask) V in tiles of queries, so that memory is linear in the lengths. The row's log-sum-exp is
// saved and the probabilities are recomputed in the backward pass (Dao et al. 2022, "FlashAttention", without its
// tiling of keys). Two forms tile the keys as well: cpu/attention.cpp for the CPU in float32, flash_attention.cu for
// the GPU.
namespace poph {
namespace {

constexpr int64_t workspace_elements = 4 << 20;  // of one matrix of scores

AttentionSizes check_sizes(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings) {
  require(q.shape().rank() == 3 && k.shape() == v.shape() && q.shape()[0] == k.shape()[0] &&
              q.shape()[2] == k.shape()[2] && q.shape()[1] <= k.shape()[1] && settings.heads > 0 &&
              q.shape()[2] % settings.heads == 0,
          "attention: q ", q.shape(), ", k ", k.shape(), ", v ", v.shape(), ", ", settings.heads, " heads");
  require(settings.visible_step >= 0, "attention: visible_step ", settings.visible_step, ", expected 0 or more");
  const Tensor& begins = settings.begins;
  require(!begins.defined() || (begins.dtype() == Dtype::i32 && begins.shape().rank() == 2 && begins.shape()[0] > 0 &&
                                begins.shape()[1] == q.shape()[0] && q.shape()[1] % begins.shape()[0] == 0 &&
                                settings.visible_step > 0 && q.shape()[1] == k.shape()[1]),
          "attention: begins ", begins.shape(), " for queries ", q.shape(), " and keys ", k.shape());
  require(settings.dropout >= 0 && settings.dropout < 1, "attention: dropout ", settings.dropout, ", expected [0, 1)");
  return {q.shape()[0], q.shape()[1], k.shape()[1], settings.heads, q.shape()[2] / settings.heads, q.shape()[2]};
}

// Some groups and some queries of them: what one matrix of scores [heads, groups, queries, keys] holds.
struct Tile {
  int64_t first_group, groups, first_query, queries, keys;
  int64_t stride() const { return queries * keys; }
  int64_t head_stride() const { return groups * stride(); }
};

// Calls f for every tile, in one fixed order.
template <class F>
void for_each_tile(const AttentionSizes& s, const VisibleKeys& visible, F f) {
  const int64_t per_group = s.heads * s.queries * s.keys;
  const int64_t groups = std::max<int64_t>(1, workspace_elements / std::max<int64_t>(1, per_group));
  const int64_t queries =
      per_group <= workspace_elements ? s.queries : std::max<int64_t>(1, workspace_elements / (s.heads * s.keys));
  for (int64_t group = 0; group < s.groups; group += groups)
    for (int64_t query = 0; query < s.queries; query += queries) {
      const int64_t count = std::min(queries, s.queries - query);
      f(Tile{group, std::min(groups, s.groups - group), query, count, visible(query + count - 1)});
    }
}

// Nothing to do where the product reads the scores themselves.
template <class A, class T>
POPH_HD void store(const A* from, T* to, int64_t count) {
  if constexpr (!std::is_same_v<A, T>)
    for (int64_t i = 0; i < count; ++i) to[i] = T(from[i]);
}

struct Rows {  // which query a row of the tile's scores is
  AttentionSizes s;
  Tile tile;
  POPH_HD int64_t group(int64_t row) const { return tile.first_group + row / tile.queries % tile.groups; }
  POPH_HD int64_t query(int64_t row) const { return tile.first_query + row % tile.queries; }
  POPH_HD int64_t flat(int64_t row) const {  // in [G, heads, Lq]
    const int64_t group = tile.first_group + row / tile.queries % tile.groups, head = row / tile.queries / tile.groups;
    return (group * s.heads + head) * s.queries + query(row);
  }
};

// Scores and probabilities are computed in A. Where T is narrower, the next product's operand is written as T beside
// them.
template <class T>
struct SoftmaxRow {
  using A = accumulate_t<T>;
  A *scores, *log_sum_exp;
  T* weights;
  A scale;
  Rows rows;
  VisibleKeys visible;
  AttentionDrop drop;
  POPH_HD void operator()(int64_t row) const {
    A* x = scores + row * rows.tile.keys;
    const int64_t first = visible.first(rows.group(row), rows.query(row)), seen = visible(rows.query(row));
    A largest = x[first] * scale, total = A(0);
    for (int64_t i = 0; i < first; ++i) x[i] = A(0);
    for (int64_t i = first; i < seen; ++i) {
      x[i] *= scale;
      largest = x[i] > largest ? x[i] : largest;
    }
    for (int64_t i = first; i < seen; ++i) x[i] = std::exp(x[i] - largest);
    for (int64_t i = first; i < seen; ++i) total += x[i];
    const A factor = A(1) / total;
    for (int64_t i = first; i < seen; ++i) x[i] *= factor;
    for (int64_t i = seen; i < rows.tile.keys; ++i) x[i] = A(0);
    log_sum_exp[rows.flat(row)] = largest + std::log(total);
    drop.apply(rows.flat(row), x, seen);
    store(x, weights + row * rows.tile.keys, rows.tile.keys);
  }
};

// From raw scores and dP (gradient of the dropped-out probabilities) to the dropped-out probabilities and dS, both in
// place.
template <class T>
struct SoftmaxGradRow {
  using A = accumulate_t<T>;
  A *scores, *dscores;
  T *weights, *dweights;
  const A* log_sum_exp;
  A scale;
  Rows rows;
  VisibleKeys visible;
  AttentionDrop drop;
  POPH_HD void operator()(int64_t row) const {
    A *p = scores + row * rows.tile.keys, *dp = dscores + row * rows.tile.keys;
    const int64_t seen = visible(rows.query(row)), flat = rows.flat(row);
    const A normaliser = log_sum_exp[flat];
    A dot = A(0);
    const int64_t first = visible.first(rows.group(row), rows.query(row));
    for (int64_t i = 0; i < first; ++i) p[i] = A(0);
    for (int64_t i = first; i < seen; ++i) p[i] = std::exp(p[i] * scale - normaliser);
    drop.apply(flat, dp, seen);
    for (int64_t i = 0; i < seen; ++i) dot += p[i] * dp[i];
    for (int64_t i = 0; i < seen; ++i) dp[i] = scale * p[i] * (dp[i] - dot);
    drop.apply(flat, p, seen);
    for (int64_t i = seen; i < rows.tile.keys; ++i) p[i] = dp[i] = A(0);
    store(p, weights + row * rows.tile.keys, rows.tile.keys);
    store(dp, dweights + row * rows.tile.keys, rows.tile.keys);
  }
};

// One matrix product for every group and head of a tile. The three operands name rows of the [G, L, heads * width]
// tensors or of the tile's scores.
template <class T>
struct Products {
  using A = accumulate_t<T>;
  Device device;
  AttentionSizes s;
  Tile tile;

  T* queries(const Tensor& x, int64_t head) const {
    return x.data<T>() + (tile.first_group * s.queries + tile.first_query) * s.features + head * s.width;
  }
  template <class E = T>
  E* keys(const Tensor& x, int64_t head) const {
    return x.data<E>() + tile.first_group * s.keys * s.features + head * s.width;
  }

  // Many small groups keep every thread busy inside one product (gemm_batched); a long sequence is one group, and its
  // heads are shared out.
  static constexpr int64_t few_groups = 8, scores_worth_threads = 4096;
  template <class F>
  void for_each_head(F f) const {
    // nvcc's own pass knows no OpenMP
    [[maybe_unused]] const bool heads_in_threads =
        device == Device::cpu && tile.groups < few_groups && tile.stride() > scores_worth_threads;
#pragma omp parallel for schedule(static) if (heads_in_threads)
    for (int64_t head = 0; head < s.heads; ++head) f(head);
  }

  // scores = A B' over rows of queries and rows of keys
  void scores(const Tensor& of_queries, const Tensor& of_keys, A* to) const {
    for_each_head([&](int64_t head) {
      gemm_batched<T>(device, {tile.groups, s.queries * s.features, s.keys * s.features, tile.stride()}, false, true,
                      tile.queries, tile.keys, s.width, 1, queries(of_queries, head), s.features, keys(of_keys, head),
                      s.features, 0, to + head * tile.head_stride(), tile.keys);
    });
  }
  // rows of queries = weights * rows of keys
  void gather(const T* weights, const Tensor& of_keys, const Tensor& to) const {
    for_each_head([&](int64_t head) {
      gemm_batched<T>(device, {tile.groups, tile.stride(), s.keys * s.features, s.queries * s.features}, false, false,
                      tile.queries, s.width, tile.keys, 1, weights + head * tile.head_stride(), tile.keys,
                      keys(of_keys, head), s.features, 0, queries(to, head), s.features);
    });
  }
  // rows of keys += weights' * rows of queries; they are A, for a sum goes on from tile to tile
  void scatter(const T* weights, const Tensor& of_queries, const Tensor& to) const {
    for_each_head([&](int64_t head) {
      gemm_batched<T>(device, {tile.groups, tile.stride(), s.queries * s.features, s.keys * s.features}, true, false,
                      tile.keys, s.width, tile.queries, 1, weights + head * tile.head_stride(), tile.keys,
                      queries(of_queries, head), s.features, 1, keys<A>(to, head), s.features);
    });
  }
};

// The products' operand: the scores themselves, or room for them as T.
Tensor narrow_copy(const Tensor& scores, Dtype dtype) {
  return scores.dtype() == dtype ? scores : Tensor(scores.shape(), dtype, scores.device());
}

AttentionPlan plan_of(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings) {
  const AttentionSizes s = check_sizes(q, k, v, settings);
  const AttentionDrop drop{q.device() == Device::cpu ? settings.key.fixed() : settings.key,
                           drop_threshold(settings.dropout), settings.dropout > 0 ? 1 / (1 - settings.dropout) : 0.0,
                           (s.keys + 3) / 4};
  AttentionPlan plan{s, {s.keys - s.queries, settings.visible_step, s.keys}, drop, settings.scale};
  if (settings.begins.defined()) {
    plan.visible.begins = settings.begins.data<int32_t>();
    plan.visible.groups = s.groups;
    plan.visible.positions = s.queries / settings.begins.shape()[0];
  }
  return plan;
}

// The packed form copies keys and values into panels, which pays from this many queries on.
constexpr int64_t queries_worth_packing = 9;

bool has_packed_form(const Tensor& q) {
  return q.device() == Device::cpu && q.dtype() == Dtype::f32 && q.shape()[1] >= queries_worth_packing;
}

#ifdef POPH_KERNELS
bool has_flash_kernel(const Tensor& q, const AttentionSizes& s) {
  return q.device() == Device::cuda && q.dtype() != Dtype::f64 && s.width <= max_flash_width;
}
#endif

}  // namespace

AttentionResult attention_plain(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings) {
  const AttentionPlan plan = plan_of(q, k, v, settings);
  const AttentionSizes& s = plan.sizes;
  const Dtype wide = accumulate_dtype(q.dtype());
  AttentionResult result{Tensor(q.shape(), q.dtype(), q.device()),
                         Tensor({s.groups, s.heads, s.queries}, wide, q.device())};
  visit_dtype(q.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_tile(s, plan.visible, [&](const Tile& tile) {
      Tensor scores({s.heads, tile.groups, tile.queries, tile.keys}, wide, q.device()),
          weights = narrow_copy(scores, q.dtype());
      const Products<T> products{q.device(), s, tile};
      products.scores(q, k, scores.data<A>());
      for_each_row(q.device(), s.heads * tile.groups * tile.queries, tile.keys,
                   SoftmaxRow<T>{scores.data<A>(),
                                 result.log_sum_exp.data<A>(),
                                 weights.data<T>(),
                                 A(plan.scale),
                                 {s, tile},
                                 plan.visible,
                                 plan.drop});
      products.gather(weights.data<T>(), v, result.y);
    });
  });
  return result;
}

AttentionGradients attention_grad_plain(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const AttentionResult& forward, const AttentionSettings& settings,
                                        const Tensor& dy) {
  const AttentionPlan plan = plan_of(q, k, v, settings);
  const AttentionSizes& s = plan.sizes;
  const Dtype wide = accumulate_dtype(q.dtype());
  AttentionGradients g{Tensor(q.shape(), q.dtype(), q.device()), Tensor::zeros(k.shape(), wide, k.device()),
                       Tensor::zeros(v.shape(), wide, v.device())};
  visit_dtype(q.dtype(), [&](auto type) {
    using T = decltype(type);
    using A = accumulate_t<T>;
    for_each_tile(s, plan.visible, [&](const Tile& tile) {
      const Shape shape{s.heads, tile.groups, tile.queries, tile.keys};
      Tensor scores(shape, wide, q.device()), dscores(shape, wide, q.device());
      Tensor weights = narrow_copy(scores, q.dtype()), dweights = narrow_copy(dscores, q.dtype());
      const Products<T> products{q.device(), s, tile};
      products.scores(q, k, scores.data<A>());
      products.scores(dy, v, dscores.data<A>());
      for_each_row(q.device(), shape.rows(), tile.keys,
                   SoftmaxGradRow<T>{scores.data<A>(),
                                     dscores.data<A>(),
                                     weights.data<T>(),
                                     dweights.data<T>(),
                                     forward.log_sum_exp.data<A>(),
                                     A(plan.scale),
                                     {s, tile},
                                     plan.visible,
                                     plan.drop});
      products.scatter(weights.data<T>(), dy, g.dv);
      products.gather(dweights.data<T>(), k, g.dq);
      products.scatter(dweights.data<T>(), q, g.dk);
    });
  });
  return {g.dq, g.dk.to(k.dtype()), g.dv.to(v.dtype())};
}

AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSettings& settings) {
  const AttentionPlan plan = plan_of(q, k, v, settings);
#ifdef POPH_KERNELS
  if (has_flash_kernel(q, plan.sizes)) return flash_attention(q, k, v, plan.sizes, plan.scale, plan.visible, plan.drop);
#endif
  return has_packed_form(q) ? attention_packed(q, k, v, plan) : attention_plain(q, k, v, settings);
}

AttentionGradients attention_grad(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionResult& forward,
                                  const AttentionSettings& settings, const Tensor& dy) {
  const AttentionPlan plan = plan_of(q, k, v, settings);
#ifdef POPH_KERNELS
  if (has_flash_kernel(q, plan.sizes))
    return flash_attention_grad(q, k, v, forward, plan.sizes, plan.scale, plan.visible, plan.drop, dy);
#endif
  return has_packed_form(q) ? attention_grad_packed(q, k, v, forward, plan, dy)
                            : attention_grad_plain(q, k, v, forward, settings, dy);
}

}  // namespace poph
