#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/train/divergence.h"
#include "experiments/train/training_state.h"

// The lines of metrics.jsonl, one JSON object each, in the order in which they came up. Every run folder has the file.
//
// At the end of each epoch, one line for the training windows and, where there are validation windows, one for those:
//
//   {"step": 12,                 steps so far, skipped ones included
//    "epoch": 3,                 counted from 1
//    "split": "train",           or "valid"
//    "time_s": 1.234,            seconds of training and validation so far, over all sessions, to the millisecond
//    "play": 0.41, "replay": 0.02, "volume": 0.01, "harmony": 0.8, "total": 0.52,
//                                the parts of loss_parts (nn/loss_parts.h), means over windows, in nats where they are
//                                cross entropies; a model of play alone has no "replay" and no "volume".
//                                "nan", "inf" or "-inf" where a number is not finite
//    "learning_rate": 0.002,     "train" alone: of the step that comes next
//    "gradient_norm": 0.7, "gradient_norm_max": 2.1,
//                                "train" alone: mean and maximum over the epoch's steps, before clipping
//    "skipped_steps": 0,         "train" alone: steps of the whole run that were skipped (train.on_nan)
//    "autoregressive": false}    only where the model sees the notes it predicts
//
// For each step with a loss, gradient or weight that is not a finite number, one line:
//
//   {"event": "not_finite",
//    "step": 12, "epoch": 3, "time_s": 1.234,     as above; the epoch is the one that the step belongs to
//    "part": "play",             of the loss; "" where the losses are finite
//    "layer": "blocks.1.output", the first layer with such an output, or else gradient or weight
//    "parameters": ["blocks.1.query.weight", ..], whose gradients or weights are not finite
//    "judged": "divergence",     or "bad batch"
//    "action": "skip",           or "stop"
//    "skipped_in_a_row": 1,
//    "gradient_norm_before": 0.8, "gradient_norm_median": 0.7, "loss_before": 0.5, "loss_median": 0.5,
//                                of the latest step that was finite, and over the latest 100
//    "weight_norm": 31.2,        of all weights together, after that step
//    "windows": [{"window": 7, "piece": "a.mid", "first_step": 32}, ..]}
//                                the batch: window numbers, or "lane" for lanes, and where each begins in its
//                                piece, in time steps
namespace poph {

// The numbers of a training epoch beside its losses.
struct EpochNumbers {
  double learning_rate = 0, gradient_norm = 0, gradient_norm_max = 0;
};

nlohmann::json train_line(const TrainingState& state, const LossValues& losses, const EpochNumbers& numbers);
nlohmann::json valid_line(const TrainingState& state, const LossValues& losses);
nlohmann::json not_finite_line(const TrainingState& state, const NotFinite& found, const StepHistory& before);

std::string loss_text(const LossValues& losses);  // "loss 0.1234 (play 0.1, replay 0.01, volume 0.01, harmony 0.2)"

}  // namespace poph
