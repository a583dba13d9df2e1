#include "tensor/attention.h"
#include "tensor/tiles.h"

#ifdef POPH_KERNELS
// Attention without a matrix of scores in memory (Dao 2023, "FlashAttention-2"). A block of threads has one square tile
// of scores at a time, of one group and head: forward and for dq it keeps a tile of queries and walks over the keys
// that they see, for dk and dv it keeps a tile of keys and walks over the queries that see them. Each sum is one
// block's, in the order of its walk, so that results repeat bit for bit. 48 notes are one tile: there a block does a
// whole group and head, and reads K and V once.
//
// Tiles are float, a row behind the other. multiply_rows and add_weighted are the two products; both keep `Tiling`'s
// map of results to tile_threads, which is what an mma form would replace.
namespace poph {
namespace {

// The factors of dropout in the warp's own rows of a tile whose corner is (query, key). A Philox block serves four keys
// of a query, counted as the plain form counts them.
template <class S, bool rows_are_keys>
__device__ void write_factors(const AttentionDrop& drop, int64_t query, int64_t key, float* weights) {
  constexpr int blocks = S::warp_rows * S::side / 4;
  for (int i = threadIdx.x % warp_size; i < blocks; i += warp_size) {
    const int row = S::first_row() + (rows_are_keys ? i / S::side * 4 : i / (S::side / 4));
    const int column = rows_are_keys ? i % S::side : i % (S::side / 4) * 4;
    const int64_t of_query = query + (rows_are_keys ? column : row), of_key = key + (rows_are_keys ? row : column);
    const Philox4 bits = drop.key.block(of_query * drop.blocks_per_row + of_key / 4);
    float* to = weights + row * S::weight_stride + column;
    for (int e = 0; e < 4; ++e) to[rows_are_keys ? e * S::weight_stride : e] = drop.factor<float>(bits.word[e]);
  }
}

template <class T>
struct Problem {
  AttentionSizes s;
  VisibleKeys visible;
  AttentionDrop drop;
  float scale;
  const T *q, *k, *v;
  T* y;
  float* log_sum_exp;  // [G, heads, Lq]
  const T* dy = nullptr;
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;
  float* dot = nullptr;  // [G, heads, Lq]: of dy with y

  __device__ int64_t at(int64_t pair, int64_t length, int64_t position) const {  // in [G, length, features]
    return (pair / s.heads * length + position) * s.features + pair % s.heads * s.width;
  }
};

struct Place {  // which tile of which group and head a block has
  int64_t pair, first;
  int count;
};

// Late queries see the most keys: those blocks start first, so that the last ones to finish are short.
template <class S>
__device__ Place place_of_block(int64_t length, bool late_first) {
  const int64_t tiles = (length + S::side - 1) / S::side, index = blockIdx.x % tiles;
  const int64_t first = (late_first ? tiles - 1 - index : index) * S::side;
  return {blockIdx.x / tiles, first, static_cast<int>(length - first < S::side ? length - first : S::side)};
}

template <class S>
__device__ int tile_part(int64_t count) {
  return static_cast<int>(count < S::side ? count : S::side);
}

template <class T, class S>
__global__ void __launch_bounds__(tile_threads, 3) flash_attention_kernel(Problem<T> p) {
  float *q = shared_memory<float>(), *k = q + S::tile, *v = k + S::tile, *weights = v + S::tile;
  const int width = static_cast<int>(p.s.width);
  const Place place = place_of_block<S>(p.s.queries, true);
  const int64_t flat = place.pair * p.s.queries + place.first, last_seen = p.visible(place.first + place.count - 1);
  load_tile<S>(q, p.q + p.at(place.pair, p.s.queries, place.first), p.s.features, place.count, width);

  float sum[S::rows][S::depth] = {}, largest[S::rows], total[S::rows] = {};
  int seen[S::rows], hidden[S::rows];  // a row sees the keys [hidden, seen)
  for (int i = 0; i < S::rows; ++i) {
    const int64_t query = place.first + (S::row(i) < place.count ? S::row(i) : place.count - 1);
    largest[i] = -3e38f;  // and every row sees a key
    seen[i] = static_cast<int>(p.visible(query));
    hidden[i] = static_cast<int>(p.visible.first(place.pair / p.s.heads, query));
  }
  for (int64_t first = 0; first < last_seen; first += S::side) {
    const int keys = tile_part<S>(last_seen - first);
    __syncthreads();  // the tiles before have been read
    load_tile<S>(k, p.k + p.at(place.pair, p.s.keys, first), p.s.features, keys, width);
    load_tile<S>(v, p.v + p.at(place.pair, p.s.keys, first), p.s.features, keys, width);
    if (p.drop.scale != 0) write_factors<S, false>(p.drop, flat, first, weights);
    __syncthreads();

    float score[S::rows][S::columns];
    multiply_rows<S>(q, k, width, score);
    for (int i = 0; i < S::rows; ++i) {
      const int visible = tile_part<S>(seen[i] - first), unseen = tile_part<S>(hidden[i] - first);
      float top = largest[i], part = 0;
      for (int j = 0; j < S::columns; ++j) {
        score[i][j] *= p.scale;
        if (S::column(j) < visible && S::column(j) >= unseen && score[i][j] > top) top = score[i][j];
      }
      top = warp_max<across>(top);
      const float correction = std::exp(largest[i] - top);
      largest[i] = top;
      for (int j = 0; j < S::columns; ++j) {
        float& weight = weights[S::row(i) * S::weight_stride + S::column(j)];
        const bool is_seen = S::column(j) < visible && S::column(j) >= unseen;
        const float probability = is_seen ? std::exp(score[i][j] - top) : 0.0f;
        part += probability;
        weight = p.drop.scale != 0 ? probability * weight : probability;
      }
      total[i] = total[i] * correction + warp_sum<across>(part);
      for (int d = 0; d < S::depth; ++d) sum[i][d] *= correction;
    }
    __syncwarp();
    add_weighted<S>(weights, v, keys, sum);
  }
  for (int i = 0; i < S::rows; ++i) {
    const float factor = 1 / total[i];
    for (int d = 0; d < S::depth; ++d) sum[i][d] *= factor;
    if (S::lane() == 0 && S::row(i) < place.count) p.log_sum_exp[flat + S::row(i)] = largest[i] + std::log(total[i]);
  }
  store_rows<S>(sum, p.y + p.at(place.pair, p.s.queries, place.first), p.s.features, place.count, width);
}

// dS = scale P (dP - dot), dP = dy V' and P from the log-sum-exp; dq = dS K.
template <class T, class S>
__global__ void __launch_bounds__(tile_threads, 3) flash_dq_kernel(Problem<T> p) {
  float *q = shared_memory<float>(), *dy = q + S::tile, *k = dy + S::tile, *v = k + S::tile, *weights = v + S::tile;
  __shared__ int seen[S::side], hidden[S::side];  // a query sees the keys [hidden, seen)
  const int width = static_cast<int>(p.s.width);
  const Place place = place_of_block<S>(p.s.queries, true);
  const int64_t flat = place.pair * p.s.queries + place.first, last_seen = p.visible(place.first + place.count - 1);
  const int64_t rows_at = p.at(place.pair, p.s.queries, place.first);
  load_tile<S>(q, p.q + rows_at, p.s.features, place.count, width);
  load_tile<S>(dy, p.dy + rows_at, p.s.features, place.count, width);
  __syncthreads();

  float sum[S::rows][S::depth] = {}, log_sum_exp[S::rows], dot[S::rows];
  for (int i = 0; i < S::rows; ++i) {
    const int row = S::row(i);
    const bool inside = row < place.count;
    float part = 0;
    for (int d = S::lane(); inside && d < width; d += across)
      part += dy[row * S::stride + d] * float(p.y[rows_at + row * p.s.features + d]);
    dot[i] = warp_sum<across>(part);
    if (inside && S::lane() == 0) p.dot[flat + row] = dot[i];
    log_sum_exp[i] = inside ? p.log_sum_exp[flat + row] : 0.0f;
  }
  for (int row = threadIdx.x; row < S::side; row += tile_threads) {
    const bool inside = row < place.count;
    seen[row] = inside ? static_cast<int>(p.visible(place.first + row)) : 0;
    hidden[row] = inside ? static_cast<int>(p.visible.first(place.pair / p.s.heads, place.first + row)) : 0;
  }
  for (int64_t first = 0; first < last_seen; first += S::side) {
    const int keys = tile_part<S>(last_seen - first);
    __syncthreads();
    load_tile<S>(k, p.k + p.at(place.pair, p.s.keys, first), p.s.features, keys, width);
    load_tile<S>(v, p.v + p.at(place.pair, p.s.keys, first), p.s.features, keys, width);
    if (p.drop.scale != 0) write_factors<S, false>(p.drop, flat, first, weights);
    __syncthreads();

    float score[S::rows][S::columns], dweight[S::rows][S::columns];
    multiply_rows<S>(q, k, width, score);
    multiply_rows<S>(dy, v, width, dweight);
    for (int i = 0; i < S::rows; ++i)
      for (int j = 0; j < S::columns; ++j) {
        float& weight = weights[S::row(i) * S::weight_stride + S::column(j)];
        const int key = static_cast<int>(first) + S::column(j);
        const bool is_seen = key < seen[S::row(i)] && key >= hidden[S::row(i)];
        const float probability = is_seen ? std::exp(score[i][j] * p.scale - log_sum_exp[i]) : 0.0f;
        const float factor = p.drop.scale != 0 ? weight : 1.0f;
        weight = p.scale * probability * (dweight[i][j] * factor - dot[i]);
      }
    __syncwarp();
    add_weighted<S>(weights, k, keys, sum);
  }
  store_rows<S>(sum, p.dq + rows_at, p.s.features, place.count, width);
}

// The same tile turned: its rows are keys and its columns the queries that see them; dv = (P dropped)' dy, dk = dS' q.
template <class T, class S>
__global__ void __launch_bounds__(tile_threads, 3) flash_dk_dv_kernel(Problem<T> p) {
  float *k = shared_memory<float>(), *v = k + S::tile, *q = v + S::tile, *dy = q + S::tile, *weights = dy + S::tile;
  __shared__ float log_sum_exp[S::side], dot[S::side];
  __shared__ int visible[S::side], unseen[S::side];  // a query sees the tile's keys [unseen, visible)
  const int width = static_cast<int>(p.s.width);
  const Place place = place_of_block<S>(p.s.keys, false);
  const int64_t rows_at = p.at(place.pair, p.s.keys, place.first);
  load_tile<S>(k, p.k + rows_at, p.s.features, place.count, width);
  load_tile<S>(v, p.v + rows_at, p.s.features, place.count, width);

  float dk[S::rows][S::depth] = {}, dv[S::rows][S::depth] = {};
  const int64_t before = p.visible.step > 0 ? place.first / p.visible.step * p.visible.step - p.visible.offset : 0;
  for (int64_t first = before > 0 ? before : 0; first < p.s.queries; first += S::side) {
    const int queries = tile_part<S>(p.s.queries - first);
    const int64_t flat = place.pair * p.s.queries + first, columns_at = p.at(place.pair, p.s.queries, first);
    __syncthreads();
    load_tile<S>(q, p.q + columns_at, p.s.features, queries, width);
    load_tile<S>(dy, p.dy + columns_at, p.s.features, queries, width);
    for (int column = threadIdx.x; column < S::side; column += tile_threads) {
      const bool inside = column < queries;
      log_sum_exp[column] = inside ? p.log_sum_exp[flat + column] : 0.0f;
      dot[column] = inside ? p.dot[flat + column] : 0.0f;
      visible[column] = inside ? tile_part<S>(p.visible(first + column) - place.first) : 0;
      unseen[column] = inside ? tile_part<S>(p.visible.first(place.pair / p.s.heads, first + column) - place.first) : 0;
    }
    if (p.drop.scale != 0) write_factors<S, true>(p.drop, flat, place.first, weights);
    __syncthreads();

    float score[S::rows][S::columns], dweight[S::rows][S::columns];
    multiply_rows<S>(k, q, width, score);
    multiply_rows<S>(v, dy, width, dweight);
    for (int j = 0; j < S::columns; ++j) {
      const int column = S::column(j);
      for (int i = 0; i < S::rows; ++i) {
        float& weight = weights[S::row(i) * S::weight_stride + column];
        const bool is_seen = S::row(i) < visible[column] && S::row(i) >= unseen[column];
        const float probability = is_seen ? std::exp(score[i][j] * p.scale - log_sum_exp[column]) : 0.0f;
        const float factor = p.drop.scale != 0 ? weight : 1.0f;
        weight = probability * factor;
        score[i][j] = p.scale * probability * (dweight[i][j] * factor - dot[column]);
      }
    }
    __syncwarp();
    add_weighted<S>(weights, dy, queries, dv);
    __syncwarp();
    for (int i = 0; i < S::rows; ++i)
      for (int j = 0; j < S::columns; ++j) weights[S::row(i) * S::weight_stride + S::column(j)] = score[i][j];
    __syncwarp();
    add_weighted<S>(weights, q, queries, dk);
  }
  store_rows<S>(dk, p.dk + rows_at, p.s.features, place.count, width);
  store_rows<S>(dv, p.dv + rows_at, p.s.features, place.count, width);
}

template <class F>
void visit_tiling(int64_t width, F f) {
  if (width <= 48) return f(Tiling<48, 48>{});
  if (width <= 64) return f(Tiling<64, 48>{});
  f(Tiling<max_flash_width, 32>{});
}

template <class S>
int64_t blocks_for(const AttentionSizes& s, int64_t length) {
  return s.groups * s.heads * ((length + S::side - 1) / S::side);
}

template <class S>
constexpr size_t shared_bytes(int tiles) {
  return (tiles * S::tile + S::weights) * sizeof(float);
}

// f(a value of the storage type, a Tiling)
template <class F>
void visit_kernels(Dtype dtype, int64_t width, F f) {
  visit_tiling(width, [&](auto tiling) { dtype == Dtype::bf16 ? f(bf16{}, tiling) : f(float{}, tiling); });
}

}  // namespace

AttentionResult flash_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionSizes& s,
                                double scale, const VisibleKeys& visible, const AttentionDrop& drop) {
  AttentionResult result{Tensor(q.shape(), q.dtype(), q.device()),
                         Tensor({s.groups, s.heads, s.queries}, Dtype::f32, q.device())};
  visit_kernels(q.dtype(), s.width, [&](auto type, auto tiling) {
    using T = decltype(type);
    using S = decltype(tiling);
    launch_kernel(flash_attention_kernel<T, S>, blocks_for<S>(s, s.queries), tile_threads, shared_bytes<S>(3),
                  Problem<T>{s, visible, drop, static_cast<float>(scale), q.data<T>(), k.data<T>(), v.data<T>(),
                             result.y.data<T>(), result.log_sum_exp.data<float>()});
  });
  return result;
}

AttentionGradients flash_attention_grad(const Tensor& q, const Tensor& k, const Tensor& v,
                                        const AttentionResult& forward, const AttentionSizes& s, double scale,
                                        const VisibleKeys& visible, const AttentionDrop& drop, const Tensor& dy) {
  AttentionGradients g{Tensor(q.shape(), q.dtype(), q.device()), Tensor(k.shape(), k.dtype(), k.device()),
                       Tensor(v.shape(), v.dtype(), v.device())};
  const Tensor dot(forward.log_sum_exp.shape(), Dtype::f32, q.device());
  visit_kernels(q.dtype(), s.width, [&](auto type, auto tiling) {
    using T = decltype(type);
    using S = decltype(tiling);
    const Problem<T> problem{s,
                             visible,
                             drop,
                             static_cast<float>(scale),
                             q.data<T>(),
                             k.data<T>(),
                             v.data<T>(),
                             forward.y.data<T>(),
                             forward.log_sum_exp.data<float>(),
                             dy.data<T>(),
                             g.dq.data<T>(),
                             g.dk.data<T>(),
                             g.dv.data<T>(),
                             dot.data<float>()};
    launch_kernel(flash_dq_kernel<T, S>, blocks_for<S>(s, s.queries), tile_threads, shared_bytes<S>(4), problem);
    launch_kernel(flash_dk_dv_kernel<T, S>, blocks_for<S>(s, s.keys), tile_threads, shared_bytes<S>(4), problem);
  });
  return g;
}

}  // namespace poph
#endif
