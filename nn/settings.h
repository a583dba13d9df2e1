#pragma once
#include <cstdint>
#include <vector>

#include "data/measures/harmony.h"
#include "nn/block_settings.h"
#include "nn/loss_parts.h"
#include "tensor/note_features.h"

// The settings of a model, its loss and its optimiser: the keys `model`, `loss` and `train.optimizer` of an experiment
// file. Plain values: nn reads them, experiments/config/config.cpp fills them from TOML and checks them.
namespace poph {

struct ModelSettings {
  int64_t octave_units = 64;
  bool descending = true;  // note_order: the highest note is chosen first
  bool condition = true;
  double input_dropout = 0.2, dropout = 0.5;
  bool relative_classes = true;  // the counts of the other pitch classes, too (MODEL.md "Note features")
  bool match = true;             // match features (MODEL.md "Match features")
  double match_dropout = 0.1;    // of the steps that have them
  int64_t style_units = 64;      // numbers that a mixture of styles becomes (MODEL.md "Styles")
  std::vector<BlockSettings> blocks;
  // From the data section: the size of a roll's step.
  int64_t lowest_note = 36, notes = 48, channels = 3;  // channels: 3 = play, replay, volume; 1 = play
  int64_t styles = 0;  // from the list of styles: how many there are; 0: the model knows none

  int64_t feature_width() const {
    return note_feature_width(octave_units) + (relative_classes ? poph::relative_classes : 0) + match_width();
  }
  int64_t match_width() const { return match ? match_features(channels) : 0; }  // of Batch::match

  // The index of the block that the chosen notes enter: the one after the first that reads only along time, or -1.
  int64_t conditioning_point() const {
    for (size_t i = 0; i + 1 < blocks.size(); ++i)
      if (info_of(blocks[i].kind).only_along_time) return static_cast<int64_t>(i) + 1;
    return -1;
  }
  bool conditioned() const { return condition && conditioning_point() >= 0; }

  // Whether mask = "auto" lets a note of this block see itself and the notes before it alone.
  bool masked(int64_t block) const {
    return conditioning_point() >= 0 && block >= conditioning_point() && blocks[block].mask == Mask::automatic;
  }

  // Whether a note's prediction depends on nothing it must not see. False when a block from the conditioning point on
  // is open to later notes, whose inputs hold the note's own target (MODEL.md "Orderings").
  bool autoregressive() const {
    if (!conditioned()) return true;
    for (size_t i = static_cast<size_t>(conditioning_point()); i < blocks.size(); ++i)
      if (blocks[i].sees_later_notes()) return false;
    return true;
  }
};

struct LossSettings {
  bool sum_notes = false;  // loss.notes = "sum"
  PerLoss<double> weight = default_weights();
  HarmonySettings harmony;
};

enum class OptimizerKind { nadam, adam, adamw, sgd };
enum class Schedule { constant, cosine, plateau };
enum class Precision { float32, tf32, bf16 };

}  // namespace poph
