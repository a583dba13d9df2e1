#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "data/corpus.h"
#include "tensor/tensor.h"

// Windows on pieces (SPEC 2), cut out of the packed rolls when a batch asks for them.
namespace poph {

inline constexpr int64_t steps_per_bar = 16, most_bars = max_steps / steps_per_bar;  // of a piece

// On the CPU, f32 or f64, time first: what an LSTM reads at once lies together.
struct Batch {
  Tensor input, target;  // [T, B, notes, channels]
  Tensor beat;           // [T, B, 16]: the input step's place in its bar, one-hot; zeros before the piece
};

class Windows {
 public:
  Windows() = default;
  Windows(std::vector<Piece> pieces, int64_t window, int64_t stride);  // rolls of one note range; Error where they differ

  struct View {
    int64_t piece = 0;
    int64_t first_step = 0;  // input steps [first_step - T, first_step) of the piece, target one later
  };

  int64_t count() const { return first_window_.back(); }
  int64_t window() const { return window_; }  // T
  int64_t notes() const { return pieces_.empty() ? 0 : pieces_.front().roll->notes(); }
  const std::vector<Piece>& pieces() const { return pieces_; }
  View view(int64_t which) const;  // piece by piece, from its start on

  // pitch_shifts: semitones per window, or none at all.
  Batch batch(std::span<const int64_t> which, int64_t channels, Dtype dtype, std::span<const int64_t> pitch_shifts = {}) const;
  void fill(Batch& batch, std::span<const int64_t> which, std::span<const int64_t> pitch_shifts = {}) const;  // one of such shapes

 private:
  std::vector<Piece> pieces_;
  std::vector<int64_t> first_window_ = {0};  // of each piece, and the total behind
  int64_t window_ = 0, stride_ = 1;
};

// Steps [first, first + count) of a whole piece as SPEC 9 scores it, B = 1: target step k is the piece's step k, input step k
// the one before it, and before step 0 a zero step with a zero beat.
Batch piece_batch(const Roll& roll, int64_t first, int64_t count, int64_t channels, Dtype dtype);

// The order to visit `count` windows in: a permutation that depends on nothing but the arguments.
std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch);

// A window's transposition in an epoch: uniform in -most .. most, from nothing but the arguments.
int64_t epoch_shift(int64_t window, int64_t most, uint64_t seed, int64_t epoch);

}  // namespace poph
