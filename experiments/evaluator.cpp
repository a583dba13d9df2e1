#include "experiments/evaluator.h"

#include <cmath>
#include <numeric>

namespace poph {
namespace {

Dtype dtype_of_model(const Biaxial& model) { return model.note_head.weight.value().dtype(); }
Device device_of_model(const Biaxial& model) { return model.note_head.weight.value().device(); }

// How many (step, note) cells are read at once: bounds the memory of a long piece.
constexpr int64_t cells_per_chunk = 1 << 13;

// log P of a step's notes: minus the cross entropy, summed in double.
std::vector<double> step_log_likelihoods(const Tensor& logits, const Tensor& target) {
  const int64_t steps = logits.shape()[0], notes = logits.shape()[2];
  const std::vector<double> cost = bce_with_logits(slice_last(logits, 0, 1), slice_last(target, 0, 1)).values();
  std::vector<double> result(steps);
  for (int64_t step = 0; step < steps; ++step)
    result[step] = -std::accumulate(cost.begin() + step * notes, cost.begin() + (step + 1) * notes, 0.0);
  return result;
}

}  // namespace

LossValues LossValues::of(const Losses& losses) {
  LossValues values{losses.play.value().item(), losses.harmony.value().item(), losses.total.value().item(), {}, {}};
  if (losses.replay.defined()) values.replay = losses.replay.value().item();
  if (losses.volume.defined()) values.volume = losses.volume.value().item();
  return values;
}

std::string LossValues::not_finite() const {
  if (!std::isfinite(play)) return "play";
  if (!std::isfinite(replay.value_or(0))) return "replay";
  if (!std::isfinite(volume.value_or(0))) return "volume";
  if (!std::isfinite(harmony)) return "harmony";
  return std::isfinite(total) ? "" : "total";
}

void LossValues::add(const LossValues& other, double weight) {
  const auto add_optional = [weight](std::optional<double>& sum, const std::optional<double>& x) {
    if (x) sum = sum.value_or(0) + weight * *x;
  };
  play += weight * other.play;
  harmony += weight * other.harmony;
  total += weight * other.total;
  add_optional(replay, other.replay);
  add_optional(volume, other.volume);
}

std::optional<LossValues> window_loss(const Biaxial& model, const LossFunction& loss, const Windows& windows,
                                      std::span<const int64_t> which, int64_t batch, bool gradients, const Interrupted& interrupted) {
  require(!which.empty(), "evaluate: there are no windows to score");
  std::optional<NoGrad> no_grad;
  if (!gradients) no_grad.emplace();
  LossValues sum;
  for (size_t first = 0; first < which.size(); first += batch) {
    if (interrupted && interrupted()) return {};
    const auto some = which.subspan(first, std::min<size_t>(batch, which.size() - first));
    const double weight = static_cast<double>(some.size()) / static_cast<double>(which.size());
    const Batch data = windows.batch(some, model.settings.channels, dtype_of_model(model));
    const Device device = device_of_model(model);
    const Tensor target = data.target.to(device);
    Pass evaluation;
    const Losses losses = loss(model(data.input.to(device), target, data.beat.to(device), evaluation), target);
    sum.add(LossValues::of(losses), weight);
    if (gradients) backward(scale(losses.total, weight));
  }
  return sum;
}

std::optional<LogLikelihood> log_likelihood(const Biaxial& model, const std::vector<Piece>& pieces, int64_t steps_per_quarter,
                                            const Interrupted& interrupted) {
  require(model.autoregressive(), "log-likelihood: this model sees the notes it predicts, so it has none");
  const Device device = device_of_model(model);
  const int64_t chunk = std::max<int64_t>(1, cells_per_chunk / model.settings.notes);
  LogLikelihood result;
  double total = 0, first_steps = 0, piece_means = 0;
  for (const Piece& piece : pieces) {
    BiaxialStream stream(model);
    double piece_total = 0;
    const int64_t steps = piece.roll->steps();
    for (int64_t first = 0; first < steps; first += chunk) {
      if (interrupted && interrupted()) return {};
      const Batch data = piece_batch(*piece.roll, first, std::min(chunk, steps - first), model.settings.channels, dtype_of_model(model));
      const Tensor target = data.target.to(device);
      const Prediction prediction = stream.read(data.input.to(device), target, data.beat.to(device));
      const std::vector<double> nats = step_log_likelihoods(prediction.notes.value(), target);
      if (first == 0) first_steps += nats[0];
      piece_total = std::accumulate(nats.begin(), nats.end(), piece_total);
    }
    total += piece_total;
    piece_means += piece_total / static_cast<double>(steps);
    result.steps += steps;
  }
  const double steps = static_cast<double>(result.steps), count = static_cast<double>(pieces.size());
  result.nats_per_step = total / steps;
  result.nats_per_step_without_first = steps > count ? (total - first_steps) / (steps - count) : 0;
  result.nats_per_step_mean_of_pieces = piece_means / count;
  result.nats_per_quarter = result.nats_per_step * static_cast<double>(steps_per_quarter);
  return result;
}

}  // namespace poph
