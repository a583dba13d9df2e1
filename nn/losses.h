#pragma once
#include "nn/biaxial.h"
#include "nn/harmony.h"

namespace poph {

// The parts of SPEC 6, each one number; replay and volume are undefined for a play-only model.
struct Losses {
  Var play, replay, volume, harmony, total;
};

class LossFunction {
 public:
  LossFunction(const LossSettings& settings, const ModelSettings& model, Dtype dtype, Device device)
      : settings_(settings), note_factor_(settings.sum_notes ? static_cast<double>(model.notes) : 1.0) {
    fold_ = Tensor::from(fold_matrix(model.lowest_note, model.notes), {pitch_classes, model.notes}, dtype, device);
    disharmony_ = Tensor::from(disharmony_matrix(settings.harmony.matrix), {keys, pitch_classes}, dtype, device);
  }

  // target [T,B,N,C], notes in ascending pitch.
  Losses operator()(const Prediction& prediction, const Tensor& target) const {
    Losses losses;
    const auto channel = [](const Tensor& x, int64_t c) { return slice_last(x, c, 1); };
    const Tensor play = channel(target, 0);
    const Var play_logit = slice_last(prediction.notes, 0, 1);
    losses.play = average(bce_with_logits(play_logit, play));
    losses.total = losses.play;
    if (prediction.volume.defined()) {
      const Var replay_error = bce_with_logits(slice_last(prediction.notes, 1, 1), channel(target, 1));
      losses.replay = average(mul(Var(play), replay_error));
      losses.volume = average(mul(Var(play), square(sub(Var(channel(target, 2)), prediction.volume))));
      losses.total = add(add(losses.total, losses.replay), losses.volume);
    }
    losses.harmony = harmony(play_logit);
    if (settings_.harmony.weight != 0) losses.total = add(losses.total, scale(losses.harmony, settings_.harmony.weight));
    return losses;
  }

  // play_logit [T,B,N,1] -> one number: how far each moment is from its nearest key.
  Var harmony(const Var& play_logit) const {
    const int64_t steps = play_logit.shape()[0], batch = play_logit.shape()[1], span = settings_.harmony.span;
    require(steps % span == 0, "harmony loss: a span of ", span, " steps does not divide a window of ", steps);
    Var folded = linear(reshape(sigmoid(play_logit), {steps, batch, play_logit.shape()[2]}), Var(fold_));
    if (settings_.harmony.input == HarmonyInput::softmax) folded = softmax(folded);
    Var distance = linear(folded, Var(disharmony_));  // [T,B,24]
    if (span > 1) distance = mean_axis(reshape(distance, {steps / span, span, batch, keys}), 1);
    const Var nearest = min_last(distance);
    return mean(settings_.harmony.reduction == HarmonyReduction::mean ? nearest : square(nearest));
  }

 private:
  Var average(const Var& x) const { return scale(mean(x), note_factor_); }

  LossSettings settings_;
  double note_factor_;
  Tensor fold_, disharmony_;
};

}  // namespace poph
