#include "experiments/train/evaluator.h"

#include <algorithm>
#include <cmath>

#include "data/batches.h"
#include "nn/decoder.h"

namespace poph {

bool quadratic_in_steps(const ModelSettings& settings) {
  return std::any_of(settings.blocks.begin(), settings.blocks.end(),
                     [](const BlockSettings& block) { return block.kind == BlockKind::attention_time_notes; });
}

std::vector<std::vector<int64_t>> groups_to_read(const std::vector<Piece>& pieces, const ModelSettings& settings,
                                                 int64_t max_cells) {
  constexpr int64_t max_side_by_side = 16, min_steps = 16;  // min_steps: that are read at once
  const int64_t room = std::max<int64_t>(1, max_cells / settings.notes / min_steps);
  return groups_of_like_length(pieces, quadratic_in_steps(settings) ? 1 : std::min(max_side_by_side, room));
}

LossValues LossValues::of(const Losses& losses) {
  LossValues values;
  for (const LossPart& part : loss_parts)
    if (losses[part].defined()) values[part] = losses[part].value().item();
  return values;
}

std::string LossValues::not_finite() const {
  for (const LossPart& part : loss_parts)
    if (!std::isfinite((*this)[part].value_or(0))) return part.name;
  return "";
}

void LossValues::add(const LossValues& other, double weight) {
  for (const LossPart& part : loss_parts)
    if (other[part]) (*this)[part] = (*this)[part].value_or(0) + weight * *other[part];
}

std::optional<LossValues> window_loss(const Biaxial& model, const LossFunction& loss, const Windows& windows,
                                      std::span<const int64_t> which, int64_t batch, bool gradients,
                                      const Interrupted& interrupted) {
  require(!which.empty(), "evaluate: there are no windows to score");
  std::optional<NoGrad> no_grad;
  if (!gradients) no_grad.emplace();
  LossValues sum;
  for (size_t first = 0; first < which.size(); first += batch) {
    if (interrupted && interrupted(static_cast<int64_t>(first))) return {};
    const auto some = which.subspan(first, std::min<size_t>(batch, which.size() - first));
    const double weight = static_cast<double>(some.size()) / static_cast<double>(which.size());
    const Batch data = windows.batch(some, model.settings.channels, model.dtype()).to(model.device());
    ForwardContext evaluation;
    const Losses losses = loss(model(data, evaluation), data);
    sum.add(LossValues::of(losses), weight);
    if (gradients) backward(scale(losses[Loss::total], weight));
  }
  return sum;
}

std::optional<LossValues> piece_loss(const Biaxial& model, const LossFunction& loss, const std::vector<Piece>& pieces,
                                     int64_t steps_per_quarter, int64_t most_steps, const Interrupted& interrupted) {
  require(!pieces.empty(), "evaluate: there are no pieces to score");
  const NoGrad no_grad;
  LossValues sum;
  int64_t scored = 0;
  const int64_t notes = model.settings.notes, span = loss.span();
  for (const std::vector<int64_t>& group : groups_to_read(pieces, model.settings)) {
    const auto columns = std::ssize(group);
    const int64_t longest = pieces[group.back()].roll->steps();
    const int64_t chunk = std::max<int64_t>(1, cells_at_once / (columns * notes * span)) * span;
    BiaxialDecoder decoder(model);
    for (int64_t first = 0; first < longest && (most_steps == 0 || scored < most_steps); first += chunk) {
      if (interrupted && interrupted(scored)) return {};
      Batch batch = BatchLayout{.steps = std::min(chunk, (longest - first + span - 1) / span * span),
                                .columns = columns,
                                .notes = notes,
                                .channels = model.settings.channels,
                                .dtype = model.dtype(),
                                .match_features = model.settings.match_width(),
                                .styles = model.settings.styles,
                                .weights = true,
                                .span = span}
                        .make();
      const int64_t there = fill_pieces(batch, pieces, group, first, steps_per_quarter);
      batch = batch.to(model.device());
      sum.add(LossValues::of(loss(decoder.read(batch), batch)), static_cast<double>(there));
      scored += there;
    }
  }
  LossValues mean;
  mean.add(sum, 1 / static_cast<double>(scored));
  return mean;
}

}  // namespace poph
