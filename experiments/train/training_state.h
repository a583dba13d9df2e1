#pragma once
#include <cstdint>
#include <string>

#include "experiments/train/evaluator.h"
#include "nn/optimizer.h"
#include "nn/safetensors.h"

// How far a training run has come, and its file beside a checkpoint's weights (MODEL.md "Checkpoints").
//
// checkpoints/NAME.state.safetensors holds, in its __metadata__, every number of TrainingState but the seconds, under
// the names of each_field in training_state.cpp, the sums of the epoch's losses under the names of loss_parts, and the
// optimiser's `updates` and `momentum_product`; as tensors, "moment.PARAMETER" and "second_moment.PARAMETER"; where
// train.average is on, "weight.PARAMETER": the checkpoint's weights are the means then; and of lanes in mid-epoch
// "carried.LAYER.h" and "carried.LAYER.c" [lanes * notes, units], the layers along time counted from 0. Equal training
// writes equal bytes.
namespace poph {

// With the weights and moments this is all that a resumed run needs to compute the same numbers.
struct TrainingState {
  int64_t epoch = 0, batch = 0;                // the next batch is this one of this epoch, both counted from 0
  int64_t step = 0;                            // optimiser steps whose losses are known
  LossValues train_sum;                        // of this epoch so far: each step's losses times its weight
  int64_t train_windows = 0, train_steps = 0;  // of this epoch so far, without skipped steps; of lanes their steps
  double best = 0;                             // the lowest monitored loss
  int64_t best_epoch = -1;                     // whose weights are the best; -1 before the first
  int64_t epochs_without_gain = 0;
  double learning_rate_factor = 1;            // of the plateau schedule
  int64_t skipped = 0, skipped_in_a_row = 0;  // steps that were not finite (train.on_nan)
  double norm_sum = 0, norm_max = 0;          // of this epoch's gradient norms so far
  double seconds = 0;                         // spent training, over all sessions
};

// `carried`: of lanes, the states of the layers along time; kept in mid-epoch.
TensorFile training_state_file(const TrainingState& state, Biaxial& model, const Optimizer& optimizer,
                               const std::vector<LstmState>& carried);

// Reads what training_state_file wrote. A part of the loss that the file lacks stays absent: the run that saved it did
// not know the part. Error, with `path`: another number is missing or out of its range, a weight is missing, or a
// tensor does not fit the model. `batches` is the number of batches of an epoch, `carried` has the shapes of the
// states, which replace it where the file was saved in mid-epoch. The seconds are left as they are.
void read_training_state(const TensorFile& file, const std::string& path, int64_t batches, Biaxial& model,
                         TrainingState& state, Optimizer& optimizer, std::vector<LstmState>& carried);

}  // namespace poph
