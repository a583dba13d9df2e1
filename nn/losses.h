#pragma once
#include "data/measures/harmony.h"
#include "nn/biaxial.h"
#include "nn/loss_parts.h"

// The loss of MODEL.md "Losses": a formula for each part of loss_parts.h, composed of differentiable functions, and
// their weighted sum.
namespace poph {

using Losses = PerLoss<Var>;  // each one number; undefined where the model does not have the part

class LossFunction {
 public:
  LossFunction(const LossSettings& settings, const ModelSettings& model, Dtype dtype, Device device)
      : settings_(settings), note_factor_(settings.sum_notes ? static_cast<double>(model.notes) : 1.0) {
    fold_ = Tensor::from(fold_matrix(model.lowest_note, model.notes), {pitch_classes, model.notes}, dtype, device);
    disharmony_ = Tensor::from(disharmony_matrix(settings.harmony.matrix), {keys, pitch_classes}, dtype, device);
  }

  // Of the batch it reads the target, notes in ascending pitch, and the weights of its steps.
  Losses operator()(const Prediction& prediction, const Batch& batch) const {
    const auto channel = [&](int64_t c) { return slice_last(batch.target, c, 1); };
    const auto average = [&](const Var& x) { return scale(mean_over_steps(x, batch.weight), note_factor_); };
    const Tensor play = channel(0);
    const Var play_logit = slice_last(prediction.notes, 0, 1);
    Losses losses;
    losses[Loss::play] = average(bce_with_logits(play_logit, play));
    if (prediction.volume.defined()) {
      const Var replay_error = bce_with_logits(slice_last(prediction.notes, 1, 1), channel(1));
      losses[Loss::replay] = average(mul(Var(play), replay_error));
      losses[Loss::volume] = average(mul(Var(play), square(sub(Var(channel(2)), prediction.volume))));
    }
    losses[Loss::harmony] = harmony(play_logit, batch.span_weight);
    losses[Loss::total] = weighted_sum(losses);
    return losses;
  }

  // play_logit [T,B,N,1] -> one number: the mean distance of a moment from its nearest key. span_weight: of a Batch.
  Var harmony(const Var& play_logit, const Tensor& span_weight = {}) const {
    const int64_t steps = play_logit.shape()[0], batch = play_logit.shape()[1], span = settings_.harmony.span;
    require(steps % span == 0, "harmony loss: a span of ", span, " steps does not divide a window of ", steps);
    Var folded = linear(reshape(sigmoid(play_logit), {steps, batch, play_logit.shape()[2]}), Var(fold_));
    if (settings_.harmony.input == HarmonyInput::softmax) folded = softmax(folded);
    Var distance = linear(folded, Var(disharmony_));  // [T,B,24]
    if (span > 1) distance = mean_axis(reshape(distance, {steps / span, span, batch, keys}), 1);
    const Var nearest = min_last(distance);
    const Var of_span = settings_.harmony.reduction == HarmonyReduction::mean ? nearest : square(nearest);
    return mean_over_steps(reshape(of_span, {steps / span, batch, 1, 1}), span_weight);
  }

  int64_t span() const { return settings_.harmony.span; }

 private:
  // x [T,B,N,1]. Without weights all steps count alike.
  static Var mean_over_steps(const Var& x, const Tensor& weight) {
    if (!weight.defined()) return mean(x);
    const Shape& s = weight.shape();
    const Var weighted = mul(x, Var(weight.reshape({s[0], s[1], 1, 1})));
    return scale(sum(weighted), 1.0 / static_cast<double>(x.shape()[2]));
  }

  // A weight of 0 leaves a part out of the gradient altogether.
  Var weighted_sum(const Losses& losses) const {
    Var total;
    for (const LossPart& part : loss_parts) {
      const double weight = settings_.weight[part];
      if (!losses[part].defined() || weight == 0) continue;
      const Var term = part.weight ? scale(losses[part], weight) : losses[part];
      total = total.defined() ? add(total, term) : term;
    }
    return total;
  }

  LossSettings settings_;
  double note_factor_;
  Tensor fold_, disharmony_;
};

}  // namespace poph
