#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "data/music/roll.h"

// Ticks to steps (MODEL.md "Piano roll").
namespace poph {

// Of the whole file, or in a file of format 2 of one of its tracks. A tick beyond the longest piece is step
// max_steps + 1, before anything can overflow.
class StepMap {
 public:
  StepMap(const MidiFile& file, std::span<const TempoChange> tempos, const RollSettings& settings)
      : nearest_(settings.quantize == Quantize::nearest),
        steps_per_quarter_(settings.steps_per_quarter),
        division_(file.ticks_per_quarter) {
    if (division_ > 0) {
      end_tick_ = (max_steps + 1) * division_ / steps_per_quarter_;
      half_step_ = (division_ + 2 * steps_per_quarter_ - 1) / (2 * steps_per_quarter_);
      return;
    }
    ticks_ = file.smpte_ticks;
    seconds_ = file.smpte_seconds;
    pieces_.push_back({0, 0, 500000});
    for (const auto& tempo : tempos) {
      const auto& last = pieces_.back();
      pieces_.push_back({tempo.tick, position(last, tempo.tick), tempo.microseconds});
      if (pieces_.back().position >= max_steps * one_quarter) break;
    }
  }

  // The step on which a note begins that is struck at this tick.
  int64_t begin(int64_t tick) const { return nearest_ ? step<Rounding::nearest>(tick) : step<Rounding::down>(tick); }

  // The step up to which, but not on which, a note sounds that is struck at `onset` and ends at a later tick.
  int64_t end(int64_t onset, int64_t tick) const {
    return std::max(begin(onset) + 1, nearest_ ? step<Rounding::nearest>(tick) : step<Rounding::up>(tick));
  }

  bool within_half_a_step(int64_t from, int64_t to) const {
    if (division_ > 0) return to - from < half_step_;
    return (quarters(to) - quarters(from) + (one_quarter >> 30)) * 2 * steps_per_quarter_ < one_quarter;
  }

 private:
  using Wide = __int128;
  static constexpr Wide one_quarter = Wide{1} << 44;

  struct Piece {
    int64_t tick;
    Wide position;  // in quarters, times one_quarter
    int64_t microseconds;
  };

  enum class Rounding { down, nearest, up };  // halves up

  template <Rounding rounding>
  int64_t step(int64_t tick) const {
    if (division_ > 0) {
      if (tick >= end_tick_) return max_steps + 1;
      if (rounding == Rounding::nearest) return (2 * tick * steps_per_quarter_ + division_) / (2 * division_);
      return (tick * steps_per_quarter_ + (rounding == Rounding::up ? division_ - 1 : 0)) / division_;
    }
    // A tick on a step's edge must not fall off it by the rounding of earlier tempo changes.
    constexpr Wide edge = one_quarter >> 30;
    const Wide steps = (quarters(tick) + (rounding == Rounding::up ? -edge : edge)) * steps_per_quarter_;
    const Wide added = rounding == Rounding::down ? 0 : rounding == Rounding::up ? one_quarter - 1 : one_quarter / 2;
    return static_cast<int64_t>(std::min<Wide>(max_steps + 1, (steps + added) / one_quarter));
  }

  Wide quarters(int64_t tick) const {
    const auto after =
        std::upper_bound(pieces_.begin(), pieces_.end(), tick, [](int64_t t, const Piece& p) { return t < p.tick; });
    return std::min(position(after[-1], tick), (max_steps + 1) * one_quarter);
  }

  // SMPTE: seconds pass at an even rate, quarter notes at the tempo of the moment.
  Wide position(const Piece& from, int64_t tick) const {
    const int64_t limit = int64_t{1} << 50;  // hours beyond any piece, and no overflow below
    const Wide ticks = std::min(tick - from.tick, limit), length = Wide{ticks_} * from.microseconds;
    return from.position + (ticks * seconds_ * 1000000 * one_quarter + length / 2) / length;
  }

  bool nearest_;
  int64_t steps_per_quarter_, division_, end_tick_ = 0, half_step_ = 0, ticks_ = 1, seconds_ = 1;
  std::vector<Piece> pieces_;
};

}  // namespace poph
