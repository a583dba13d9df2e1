#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "experiments/config/settings.h"

// The learning rate over time (MODEL.md "Optimisers").
namespace poph {

// Of a step, counted from 0, of a training of so many steps. `plateau_factor` is what the plateau schedule has come to.
inline double scheduled_learning_rate(const TrainConfig& train, int64_t step, int64_t steps, double plateau_factor) {
  const double rate = train.learning_rate;
  const int64_t warmup = train.warmup_steps;
  const double warm = step < warmup ? static_cast<double>(step + 1) / static_cast<double>(warmup) : 1;
  if (train.schedule == Schedule::plateau) return rate * plateau_factor * warm;
  if (train.schedule == Schedule::constant || step < warmup) return rate * warm;
  const double left = static_cast<double>(std::max<int64_t>(1, steps - warmup));
  const double done = std::min(1.0, static_cast<double>(step - warmup) / left), last = train.final_learning_rate;
  return rate * (last + (1 - last) * 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

}  // namespace poph
