#pragma once
#include <cstdint>
#include <string>
#include <vector>

// What a model and its loss are made of, as numbers and names: SPEC 4 to 7 and the model, loss and train.optimizer keys of
// SPEC 12. Plain values; nn reads them, experiments/config.cpp fills them from TOML and checks them.
namespace poph {

enum class BlockKind { lstm_time, lstm_notes, attention_notes, attention_time_notes };
enum class Norm { none, pre, post };
enum class Mask { automatic, none };

struct BlockSettings {
  BlockKind kind = BlockKind::lstm_time;
  int64_t layers = 2, units = 256;   // lstm_time, lstm_notes (whose default is 128 units)
  int64_t heads = 4, head_dim = 64;  // attention
  bool residual = true, feed_forward = true, query_gate = false, scale = true;
  Norm norm = Norm::post;
  double dropout = 0.1;
  Mask mask = Mask::automatic;

  bool is_attention() const { return kind == BlockKind::attention_notes || kind == BlockKind::attention_time_notes; }
};

struct ModelSettings {
  int64_t octave_units = 64;
  bool descending = true;  // note_order: the highest note is chosen first
  bool condition = true;
  double input_dropout = 0.2, dropout = 0.5;
  std::vector<BlockSettings> blocks;
  // From the data section: what one cell of the roll is.
  int64_t lowest_note = 36, notes = 48, channels = 3;  // channels: 3 = play, replay, volume; 1 = play

  // The index of the block that the chosen notes enter: the first one after an lstm_time; -1 when there is none.
  int64_t conditioning_point() const {
    for (size_t i = 0; i + 1 < blocks.size(); ++i)
      if (blocks[i].kind == BlockKind::lstm_time) return static_cast<int64_t>(i) + 1;
    return -1;
  }
  bool conditioned() const { return condition && conditioning_point() >= 0; }

  // Whether a note's prediction depends on nothing it must not see: false when an attention after the conditioning point is
  // open to later notes, whose inputs hold the note's own target (SPEC 5).
  bool autoregressive() const {
    if (!conditioned()) return true;
    for (size_t i = static_cast<size_t>(conditioning_point()); i < blocks.size(); ++i)
      if (blocks[i].is_attention() && blocks[i].mask == Mask::none) return false;
    return true;
  }
};

enum class HarmonyInput { softmax, raw };
enum class HarmonyMatrix { diatonic, harmonic_minor, melodic_minor, triad, krumhansl };
enum class HarmonyReduction { mean, mean_square };

struct HarmonySettings {
  double weight = 0.1;
  HarmonyInput input = HarmonyInput::softmax;
  HarmonyMatrix matrix = HarmonyMatrix::diatonic;
  int64_t span = 1;
  HarmonyReduction reduction = HarmonyReduction::mean;
};

struct LossSettings {
  bool sum_notes = false;  // loss.notes = "sum"
  HarmonySettings harmony;
};

enum class OptimizerKind { nadam, adam, adamw, sgd };
enum class Schedule { constant, cosine, plateau };
enum class Precision { float32, tf32, bf16 };

}  // namespace poph
