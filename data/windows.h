#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "data/batch.h"
#include "data/reading/corpus.h"

// Windows on pieces (MODEL.md "Windows"), cut out of the packed rolls when a batch asks for them. Batches lie on the
// CPU.
namespace poph {

class Windows {
 public:
  Windows() = default;
  // Error where the rolls are not of one note range.
  Windows(std::vector<Piece> pieces, int64_t window, int64_t stride, int64_t steps_per_quarter);

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
  Batch batch(std::span<const int64_t> which, int64_t channels, Dtype dtype,
              std::span<const int64_t> pitch_shifts = {}) const;
  // The same into a batch of these shapes. `match` is filled where it is there; batch() has it where the pieces do.
  void fill(Batch& batch, std::span<const int64_t> which, std::span<const int64_t> pitch_shifts = {}) const;

 private:
  std::vector<Piece> pieces_;
  std::vector<int64_t> first_window_ = {0};  // of each piece, and the total behind
  int64_t window_ = 0, stride_ = 1, steps_per_quarter_ = 4;
};

// Column b of a batch, steps [at, at + count) of it: the targets are the roll's steps from `first` on, the inputs those
// one step before. Before and behind the roll there are zeros.
void fill_steps(const Batch& batch, int64_t b, int64_t at, int64_t count, const Piece& piece, int64_t first,
                int64_t pitch_shift, int64_t steps_per_quarter);

// Steps [first, first + count) of a whole piece as MODEL.md "Evaluation" scores it, B = 1: target step k is the piece's
// step k, input step k the one before it, and before step 0 a zero step with a zero beat. With `match` where the piece
// has its matches.
Batch piece_batch(const Piece& piece, int64_t first, int64_t count, int64_t channels, Dtype dtype,
                  int64_t steps_per_quarter);

// The order to visit `count` windows in: a permutation that depends on nothing but the arguments.
std::vector<int64_t> epoch_order(int64_t count, uint64_t seed, int64_t epoch);

// A window's transposition in an epoch: uniform in -max_shift .. max_shift, from nothing but the arguments.
int64_t epoch_shift(int64_t window, int64_t max_shift, uint64_t seed, int64_t epoch);

}  // namespace poph
