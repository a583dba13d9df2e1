#pragma once
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/music/midi.h"

// Bars and beats (MODEL.md "Bars").
namespace poph {

// The meter from a step of a piece on. A change that comes within a bar ends that bar there.
struct MeterChange {
  int64_t step = 0;
  Meter meter;

  bool operator==(const MeterChange&) const = default;
};

constexpr int64_t bar_steps(Meter meter, int64_t steps_per_quarter) {  // rounded, at least 1
  const int64_t whole_note = 4 * steps_per_quarter;
  return std::max<int64_t>(1, (2 * whole_note * meter.numerator + meter.denominator) / (2 * meter.denominator));
}

inline constexpr int64_t beat_places = 16;

// "3/4". Nothing for any other text.
inline std::optional<Meter> meter_of(std::string_view text) {
  Meter meter;
  const char *const end = text.data() + text.size(), *at = text.data();
  const auto n = std::from_chars(at, end, meter.numerator);
  if (n.ec != std::errc() || n.ptr == end || *n.ptr != '/') return {};
  const auto d = std::from_chars(n.ptr + 1, end, meter.denominator);
  return d.ec == std::errc() && d.ptr == end && is_meter(meter) ? std::optional(meter) : std::nullopt;
}

// The bars of a piece. Its changes of meter come by step, and until the first one the meter is 4/4.
class Bars {
 public:
  Bars(std::span<const MeterChange> changes, int64_t steps_per_quarter)
      : changes_(changes), steps_per_quarter_(steps_per_quarter) {}

  struct Bar {
    int64_t first = 0, end = 0;  // steps [first, end)
    Meter meter;
  };

  Bar bar_of(int64_t step) const {
    const auto next = std::upper_bound(changes_.begin(), changes_.end(), step,
                                       [](int64_t s, const MeterChange& change) { return s < change.step; });
    const MeterChange now = next == changes_.begin() ? MeterChange{} : next[-1];
    const int64_t length = bar_steps(now.meter, steps_per_quarter_);
    const int64_t first = now.step + (step - now.step) / length * length, end = first + length;
    return {first, next == changes_.end() ? end : std::min(end, next->step), now.meter};
  }

  // The place of a step in its bar, in sixteenth notes, from 0 on again after 16.
  int64_t beat_place(int64_t step) const {
    return (step - bar_of(step).first) * beat_places / (4 * steps_per_quarter_) % beat_places;
  }

  // The bars that begin in [0, steps).
  std::vector<Bar> until(int64_t steps) const {
    std::vector<Bar> bars;
    for (int64_t step = 0; step < steps; step = bars.back().end) bars.push_back(bar_of(step));
    return bars;
  }
  std::vector<int64_t> starts(int64_t steps) const {
    std::vector<int64_t> first;
    for (const Bar& bar : until(steps)) first.push_back(bar.first);
    return first;
  }

  // The changes as a piece has them that begins at a step of this one, and ends the bar it begins in where this does.
  std::vector<MeterChange> changes_from(int64_t step) const {
    std::vector<MeterChange> changes;
    const Bar bar = bar_of(step);
    if (bar.meter != Meter{}) changes.push_back({0, bar.meter});
    if (bar.first != step) changes.push_back({bar.end - step, bar_of(bar.end).meter});
    for (const MeterChange& change : changes_)
      if (change.step > step && (bar.first == step || change.step > bar.end))
        changes.push_back({change.step - step, change.meter});
    return changes;
  }

 private:
  std::span<const MeterChange> changes_;
  int64_t steps_per_quarter_;
};

}  // namespace poph
