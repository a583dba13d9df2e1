#include "data/measures/scores.h"

namespace poph {

int64_t steps_of(std::span<const PieceScore> pieces) {
  int64_t steps = 0;
  for (const PieceScore& piece : pieces) steps += piece.steps;
  return steps;
}

Averages averages(std::span<const PieceScore> pieces, int64_t steps_per_quarter) {
  double total = 0, first_steps = 0, means = 0;
  for (const PieceScore& piece : pieces) {
    total += piece.all;
    first_steps += piece.first;
    means += piece.all / static_cast<double>(piece.steps);
  }
  const auto steps = static_cast<double>(steps_of(pieces)), count = static_cast<double>(pieces.size());
  Averages found;
  found.nats_per_step = total / steps;
  if (steps > count) found.nats_per_step_without_first = (total - first_steps) / (steps - count);
  found.nats_per_step_mean_of_pieces = means / count;
  found.nats_per_quarter = found.nats_per_step * static_cast<double>(steps_per_quarter);
  return found;
}

}  // namespace poph
