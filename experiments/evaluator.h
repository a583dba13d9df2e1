#pragma once
#include <functional>
#include <optional>

#include "data/windows.h"
#include "nn/losses.h"
#include "nn/stream.h"

namespace poph {

// The parts of a loss as numbers; replay and volume are absent for a play-only model.
struct LossValues {
  double play = 0, harmony = 0, total = 0;
  std::optional<double> replay, volume;

  static LossValues of(const Losses& losses);
  std::string not_finite() const;  // which part is NaN or infinite, the first in one word: "play"; empty when none is
  void add(const LossValues& other, double weight);
};

using Interrupted = std::function<bool()>;  // asked between batches; true ends the work early

// The mean over the given windows, dropout off, `batch` of them at a time. With `gradients` the gradient of the total is left
// in the model's parameters. An empty result: interrupted.
std::optional<LossValues> window_loss(const Biaxial& model, const LossFunction& loss, const Windows& windows,
                                      std::span<const int64_t> which, int64_t batch, bool gradients, const Interrupted& interrupted = {});

// SPEC 9: log P of the play matrix in nats, higher is better, each piece read from its start to its end with carried state.
struct LogLikelihood {
  int64_t steps = 0;
  double nats_per_step = 0;                   // over all steps of all pieces
  double nats_per_step_without_first = 0;     // each piece's first step left out
  double nats_per_step_mean_of_pieces = 0;
  double nats_per_quarter = 0;
};
// An empty result: interrupted.
std::optional<LogLikelihood> log_likelihood(const Biaxial& model, const std::vector<Piece>& pieces, int64_t steps_per_quarter,
                                            const Interrupted& interrupted = {});

}  // namespace poph
