#pragma once
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/windows.h"
#include "experiments/config.h"

// The one list of keys: reading, printing, comparing and the spelling hints of an experiment all walk it. A new setting is a
// member in config.h or nn/settings.h and a line here. Only the config*.cpp files include this.
namespace poph {

// The words a key takes, in the order messages list them.
template <class T>
using Choices = std::vector<std::pair<std::string_view, T>>;

inline const Choices<BlockKind> block_kinds = {{"lstm_time", BlockKind::lstm_time},
                                               {"lstm_notes", BlockKind::lstm_notes},
                                               {"attention_notes", BlockKind::attention_notes},
                                               {"attention_time_notes", BlockKind::attention_time_notes}};
inline const Choices<Norm> norms = {{"none", Norm::none}, {"pre", Norm::pre}, {"post", Norm::post}};
inline const Choices<Mask> masks = {{"auto", Mask::automatic}, {"none", Mask::none}};
inline const Choices<bool> note_orders = {{"descending", true}, {"ascending", false}};
inline const Choices<bool> note_sums = {{"mean", false}, {"sum", true}};
inline const Choices<Split> split_words = {{"none", Split::none}, {"first_hex_digit", Split::first_hex_digit}};  // or a share
inline const Choices<HarmonyInput> harmony_inputs = {{"softmax", HarmonyInput::softmax}, {"raw", HarmonyInput::raw}};
inline const Choices<HarmonyMatrix> harmony_matrices = {{"diatonic", HarmonyMatrix::diatonic},
                                                        {"harmonic_minor", HarmonyMatrix::harmonic_minor},
                                                        {"melodic_minor", HarmonyMatrix::melodic_minor},
                                                        {"triad", HarmonyMatrix::triad},
                                                        {"krumhansl", HarmonyMatrix::krumhansl}};
inline const Choices<HarmonyReduction> harmony_reductions = {{"mean", HarmonyReduction::mean},
                                                             {"mean_square", HarmonyReduction::mean_square}};
inline const Choices<OptimizerKind> optimizers = {
    {"nadam", OptimizerKind::nadam}, {"adam", OptimizerKind::adam}, {"adamw", OptimizerKind::adamw}, {"sgd", OptimizerKind::sgd}};
inline const Choices<Schedule> schedules = {
    {"constant", Schedule::constant}, {"cosine", Schedule::cosine}, {"plateau", Schedule::plateau}};
inline const Choices<bool> nan_answers = {{"stop", false}, {"skip", true}};
inline const Choices<bool> monitors = {{"validation_loss", false}, {"train_loss", true}};
inline const Choices<Precision> precisions = {
    {"float32", Precision::float32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}};

// A million of anything is beyond every machine, and products of three such sizes still fit 64 bits.
inline constexpr int64_t many = 1'000'000;

// The interval of a real number; `above` and `below` leave the end itself out.
struct Range {
  double at_least = -std::numeric_limits<double>::infinity();
  double above = -std::numeric_limits<double>::infinity();
  double at_most = std::numeric_limits<double>::infinity();
  double below = std::numeric_limits<double>::infinity();
};

// Calls the visitor with each key of one block, in the order of SPEC 12: kind first, then what belongs to that kind.
template <class Block, class Visitor>
void each_block_key(Block& block, Visitor& visit) {
  visit.choice("kind", block.kind, block_kinds);
  if (!block.is_attention()) {
    visit.integer("layers", block.layers, 1, many);
    visit.integer("units", block.units, 1, many);
    return;
  }
  visit.integer("heads", block.heads, 1, many);
  visit.integer("head_dim", block.head_dim, 1, many);
  visit.flag("residual", block.residual);
  visit.choice("norm", block.norm, norms);
  visit.flag("feed_forward", block.feed_forward);
  visit.flag("query_gate", block.query_gate);
  visit.flag("scale", block.scale);
  visit.real("dropout", block.dropout, Range{.at_least = 0, .below = 1});
  visit.choice("mask", block.mask, masks);
}

// Calls the visitor with each key of an experiment, in the order of SPEC 12.
template <class C, class Visitor>
void each_key(C& config, Visitor& visit) {
  visit.text("name", config.name);
  visit.integer("seed", config.seed, 0, std::numeric_limits<int64_t>::max());

  auto& data = config.data;
  visit.texts("data.source", data.source);
  visit.channels("data.channels", data.channels);
  visit.integer("data.lowest_note", data.lowest_note, 0, 127);
  visit.integer("data.notes", data.notes, 1, 128);
  visit.integer("data.steps_per_quarter", data.steps_per_quarter, 1, 24);
  visit.integer("data.window", data.window, 1, many);
  visit.integer("data.stride", data.stride, 1, many);
  visit.split("data.split", data.split, data.split_rule);
  visit.flag("data.percussion", data.percussion);
  visit.flag("data.sustain", data.sustain);
  visit.integer("data.transpose", data.transpose, 0, 127);
  visit.integer("data.max_file_bytes", data.max_file_bytes, 1, max_file_bytes);

  auto& model = config.model;
  visit.integer("model.octave_units", model.octave_units, 1, many);
  visit.choice("model.note_order", model.descending, note_orders);
  visit.flag("model.condition", model.condition);
  visit.real("model.input_dropout", model.input_dropout, Range{.at_least = 0, .below = 1});
  visit.real("model.dropout", model.dropout, Range{.at_least = 0, .below = 1});
  visit.blocks("model.blocks", model.blocks);
  visit.styles("model.styles");

  auto& harmony = config.loss.harmony;
  visit.choice("loss.notes", config.loss.sum_notes, note_sums);
  visit.real("loss.harmony.weight", harmony.weight, Range{.at_least = 0});
  visit.choice("loss.harmony.input", harmony.input, harmony_inputs);
  visit.choice("loss.harmony.matrix", harmony.matrix, harmony_matrices);
  visit.integer("loss.harmony.span", harmony.span, 1, many);
  visit.choice("loss.harmony.reduction", harmony.reduction, harmony_reductions);

  auto& train = config.train;
  visit.choice("train.optimizer", train.optimizer, optimizers);
  visit.real("train.learning_rate", train.learning_rate, Range{.above = 0});
  visit.choice("train.schedule", train.schedule, schedules);
  visit.real("train.clip_norm", train.clip_norm, Range{.at_least = 0});
  visit.choice("train.on_nan", train.skip_not_finite, nan_answers);
  visit.integer("train.batch", train.batch, 1, many);
  visit.integer("train.epochs", train.epochs, 1, many);
  visit.integer("train.patience", train.patience, 1, many);
  visit.choice("train.monitor", train.monitor_train, monitors);
  visit.choice("train.precision", train.precision, precisions);
  visit.flag("train.tensorboard", train.tensorboard);

  auto& generate = config.generate;
  visit.integer("generate.pieces", generate.pieces, 1, many);
  visit.integer("generate.bars", generate.bars, 1, most_bars);
  visit.real("generate.temperature", generate.temperature, Range{.above = 0});
  visit.real("generate.tempo", generate.tempo, Range{.at_least = 10, .at_most = 1000});
  visit.text("generate.prime", generate.prime);
  visit.integer("generate.context", generate.context, 0, many);
}

// A visitor that notes every key with its value as TOML.
struct KeyLine {
  std::string key, value;
};
std::vector<KeyLine> key_lines(const Config& config);
std::vector<KeyLine> block_key_lines(const BlockSettings& block);

}  // namespace poph
