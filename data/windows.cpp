#include "data/windows.h"

#include <algorithm>
#include <numeric>

#include "data/files/hash.h"
#include "data/matches.h"
#include "tensor/error.h"

namespace poph {
namespace {

template <class F>
void with_type(Dtype dtype, F f) {
  require(dtype == Dtype::f32 || dtype == Dtype::f64, "windows: a batch of ", dtype, ", expected f32 or f64");
  if (dtype == Dtype::f32) f(float{});
  if (dtype == Dtype::f64) f(double{});
}

// With `match` where the piece has its matches.
Batch empty_batch(const Piece& like, int64_t steps, int64_t size, int64_t channels, Dtype dtype) {
  return BatchLayout{.steps = steps,
                     .columns = size,
                     .notes = like.roll->notes(),
                     .channels = channels,
                     .dtype = dtype,
                     .match_features = like.matches[channels > 1] ? match_features(channels) : 0,
                     .styles = std::ssize(like.style)}
      .make();
}

struct SplitMix {
  uint64_t state;

  uint64_t operator()() { return next_random(state); }
  int64_t below(int64_t end) {  // uniform to within end / 2^64
    return static_cast<int64_t>(static_cast<unsigned __int128>((*this)()) * static_cast<uint64_t>(end) >> 64);
  }
};

SplitMix epoch_random(uint64_t seed, int64_t epoch, uint64_t purpose) {
  SplitMix mix{seed};
  mix.state = mix() ^ static_cast<uint64_t>(epoch);
  mix.state = mix() ^ purpose;
  return {mix()};
}

}  // namespace

void fill_steps(const Batch& batch, int64_t b, int64_t at, int64_t count, const Piece& piece, int64_t first,
                int64_t pitch_shift, int64_t steps_per_quarter) {
  const Roll& roll = *piece.roll;
  const int64_t size = batch.input.shape()[1], channels = batch.input.shape().last(), cells = roll.notes() * channels,
                row = at * size + b;
  const Bars bars(roll.meters(), steps_per_quarter);
  with_type(batch.input.dtype(), [&](auto number) {
    using T = decltype(number);
    roll.unpack(first - 1, count, channels, pitch_shift, batch.input.data<T>() + row * cells, size * cells);
    roll.unpack(first, count, channels, pitch_shift, batch.target.data<T>() + row * cells, size * cells);
    T* beat = batch.beat.data<T>() + row * beat_places;
    for (int64_t step = first - 1; step < first - 1 + count; ++step, beat += size * beat_places) {
      std::fill_n(beat, beat_places, T{0});
      if (step >= 0) beat[bars.beat_place(step)] = 1;
    }
    if (!batch.style.defined()) return;
    const int64_t styles = batch.style.shape().last();
    require(std::ssize(piece.style) == styles, "windows: ", piece.name, " has shares of ", piece.style.size(),
            " styles, expected ", styles);
    for (int64_t step = at; step < at + count; ++step)
      std::copy(piece.style.begin(), piece.style.end(), batch.style.data<T>() + (step * size + b) * styles);
  });
  if (batch.match.defined()) fill_matches(batch, b, at, count, piece, first, pitch_shift);
}

Windows::Windows(std::vector<Piece> pieces, int64_t window, int64_t stride, int64_t steps_per_quarter)
    : pieces_(std::move(pieces)), window_(window), stride_(stride), steps_per_quarter_(steps_per_quarter) {
  require(window >= 1 && stride >= 1, "windows: a window of ", window, " steps every ", stride,
          ", expected at least 1 of each");
  for (const auto& piece : pieces_) {
    const Roll& roll = *piece.roll;
    const Roll& first = *pieces_.front().roll;
    require(roll.notes() == first.notes() && roll.lowest_note() == first.lowest_note(), "windows: ", piece.name,
            " has ", roll.notes(), " notes from ", roll.lowest_note(), ", expected ", first.notes(), " from ",
            first.lowest_note());
    first_window_.push_back(count() + (roll.steps() + stride - 1) / stride);
  }
}

Windows::View Windows::view(int64_t which) const {
  require(which >= 0 && which < count(), "windows: window ", which, ", expected 0 to ", count() - 1);
  const int64_t piece = std::upper_bound(first_window_.begin(), first_window_.end(), which) - first_window_.begin() - 1;
  return {piece, (which - first_window_[piece]) * stride_};
}

Batch Windows::batch(std::span<const int64_t> which, int64_t channels, Dtype dtype,
                     std::span<const int64_t> pitch_shifts) const {
  require(!which.empty(), "windows: a batch of 0 windows, expected some");
  Batch batch = empty_batch(pieces_.front(), window_, std::ssize(which), channels, dtype);
  fill(batch, which, pitch_shifts);
  return batch;
}

void Windows::fill(Batch& batch, std::span<const int64_t> which, std::span<const int64_t> pitch_shifts) const {
  require(pitch_shifts.empty() || pitch_shifts.size() == which.size(), "windows: ", pitch_shifts.size(),
          " pitch shifts for ", which.size(), " windows");
  const auto size = static_cast<int64_t>(which.size());
  const int64_t channels = batch.input.shape().last();
  const Shape expected{window_, size, notes(), channels};
  require(batch.input.shape() == expected && batch.target.shape() == expected &&
              batch.beat.shape() == (Shape{window_, size, beat_places}),
          "windows: a batch of ", batch.input.shape(), ", expected ", expected);
  for (int64_t b = 0; b < size; ++b) {
    const View at = view(which[b]);
    fill_steps(batch, b, 0, window_, pieces_[at.piece], at.first_step - window_ + 1,
               pitch_shifts.empty() ? 0 : pitch_shifts[b], steps_per_quarter_);
  }
}

Batch piece_batch(const Piece& piece, int64_t first, int64_t count, int64_t channels, Dtype dtype,
                  int64_t steps_per_quarter) {
  const Roll& roll = *piece.roll;
  require(first >= 0 && count >= 1 && first + count <= roll.steps(), "windows: steps ", first, " to ",
          first + count - 1, " of a piece of ", roll.steps(), " steps");
  Batch batch = empty_batch(piece, count, 1, channels, dtype);
  fill_steps(batch, 0, 0, count, piece, first, 0, steps_per_quarter);
  return batch;
}

std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  SplitMix random = epoch_random(seed, epoch, 0);
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  return order;
}

int64_t epoch_shift(int64_t window, int64_t max_shift, uint64_t seed, int64_t epoch) {
  require(max_shift >= 0, "windows: a transposition by up to ", max_shift, " semitones, expected 0 or more");
  return epoch_random(seed, epoch, 1 + static_cast<uint64_t>(window)).below(2 * max_shift + 1) - max_shift;
}

}  // namespace poph
