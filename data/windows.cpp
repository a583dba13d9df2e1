#include "data/windows.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace poph {
namespace {

template <class F>
void with_type(Dtype dtype, F f) {
  require(dtype == Dtype::f32 || dtype == Dtype::f64, "windows: a batch of ", dtype, ", expected f32 or f64");
  if (dtype == Dtype::f32) f(float{});
  if (dtype == Dtype::f64) f(double{});
}

Batch empty_batch(int64_t steps, int64_t size, int64_t notes, int64_t channels, Dtype dtype) {
  return {Tensor({steps, size, notes, channels}, dtype), Tensor({steps, size, notes, channels}, dtype),
          Tensor({steps, size, steps_per_bar}, dtype)};
}

// One column b of a batch: inputs are the roll's steps from `first` on, targets one later.
template <class T>
void fill_column(const Batch& batch, int64_t b, const Roll& roll, int64_t first, int64_t channels, int64_t pitch_shift) {
  const int64_t steps = batch.input.shape()[0], size = batch.input.shape()[1], cells = roll.notes() * channels;
  roll.unpack(first, steps, channels, pitch_shift, batch.input.data<T>() + b * cells, size * cells);
  roll.unpack(first + 1, steps, channels, pitch_shift, batch.target.data<T>() + b * cells, size * cells);
  T* beat = batch.beat.data<T>() + b * steps_per_bar;
  for (int64_t step = first; step < first + steps; ++step, beat += size * steps_per_bar) {
    std::fill_n(beat, steps_per_bar, T{0});
    if (step >= 0) beat[step % steps_per_bar] = 1;
  }
}

// splitmix64 (Steele, Lea and Flood 2014): the same numbers everywhere, which the standard library's shuffle does not promise.
struct SplitMix {
  uint64_t state;

  uint64_t operator()() {
    uint64_t x = state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  int64_t below(int64_t end) {  // uniform to within end / 2^64
    return static_cast<int64_t>(static_cast<unsigned __int128>((*this)()) * static_cast<uint64_t>(end) >> 64);
  }
};

SplitMix random_of(uint64_t seed, int64_t epoch, uint64_t purpose) {
  SplitMix mix{seed};
  mix.state = mix() ^ static_cast<uint64_t>(epoch);
  mix.state = mix() ^ purpose;
  return {mix()};
}

}  // namespace

Windows::Windows(std::vector<Piece> pieces, int64_t window, int64_t stride)
    : pieces_(std::move(pieces)), window_(window), stride_(stride) {
  require(window >= 1 && stride >= 1, "windows: a window of ", window, " steps every ", stride, ", expected at least 1 of each");
  for (const auto& piece : pieces_) {
    const Roll& roll = *piece.roll;
    const Roll& first = *pieces_.front().roll;
    require(roll.notes() == first.notes() && roll.lowest_note() == first.lowest_note(), "windows: ", piece.name, " has ",
            roll.notes(), " notes from ", roll.lowest_note(), ", expected ", first.notes(), " from ", first.lowest_note());
    first_window_.push_back(count() + (roll.steps() + stride - 1) / stride);
  }
}

Windows::View Windows::view(int64_t which) const {
  require(which >= 0 && which < count(), "windows: window ", which, ", expected 0 to ", count() - 1);
  const int64_t piece = std::upper_bound(first_window_.begin(), first_window_.end(), which) - first_window_.begin() - 1;
  return {piece, (which - first_window_[piece]) * stride_};
}

Batch Windows::batch(std::span<const int64_t> which, int64_t channels, Dtype dtype, std::span<const int64_t> pitch_shifts) const {
  require(!which.empty(), "windows: a batch of 0 windows, expected some");
  Batch batch = empty_batch(window_, static_cast<int64_t>(which.size()), notes(), channels, dtype);
  fill(batch, which, pitch_shifts);
  return batch;
}

void Windows::fill(Batch& batch, std::span<const int64_t> which, std::span<const int64_t> pitch_shifts) const {
  require(pitch_shifts.empty() || pitch_shifts.size() == which.size(), "windows: ", pitch_shifts.size(), " pitch shifts for ",
          which.size(), " windows");
  const auto size = static_cast<int64_t>(which.size());
  const int64_t channels = batch.input.shape().last();
  const Shape expected{window_, size, notes(), channels};
  require(batch.input.shape() == expected && batch.target.shape() == expected && batch.beat.shape() == (Shape{window_, size, steps_per_bar}),
          "windows: a batch of ", batch.input.shape(), ", expected ", expected);
  with_type(batch.input.dtype(), [&](auto number) {
    for (int64_t b = 0; b < size; ++b) {
      const View at = view(which[b]);
      const int64_t shift = pitch_shifts.empty() ? 0 : pitch_shifts[b];
      fill_column<decltype(number)>(batch, b, *pieces_[at.piece].roll, at.first_step - window_, channels, shift);
    }
  });
}

Batch piece_batch(const Roll& roll, int64_t first, int64_t count, int64_t channels, Dtype dtype) {
  require(first >= 0 && count >= 1 && first + count <= roll.steps(), "windows: steps ", first, " to ", first + count - 1,
          " of a piece of ", roll.steps(), " steps");
  Batch batch = empty_batch(count, 1, roll.notes(), channels, dtype);
  with_type(dtype, [&](auto number) { fill_column<decltype(number)>(batch, 0, roll, first - 1, channels, 0); });
  return batch;
}

std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  SplitMix random = random_of(seed, epoch, 0);
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  return order;
}

int64_t epoch_shift(int64_t window, int64_t most, uint64_t seed, int64_t epoch) {
  require(most >= 0, "windows: a transposition by up to ", most, " semitones, expected 0 or more");
  return random_of(seed, epoch, 1 + static_cast<uint64_t>(window)).below(2 * most + 1) - most;
}

}  // namespace poph
