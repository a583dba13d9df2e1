#pragma once
#include <limits>
#include <string>
#include <vector>

#include "data/music/roll.h"
#include "experiments/config/settings.h"

// The one list of keys: reading, printing, comparing, the spelling hints and the names of a sweep's folders all walk
// it. A new setting is a member in settings.h or nn/settings.h and a line here; the weight of a part of the loss is in
// nn/loss_parts.h alone, the keys of a block are in nn/block_settings.h.
namespace poph {

inline const Choices<Quantize> quantizations = {{"nearest", Quantize::nearest}, {"floor", Quantize::floor}};
inline const Choices<bool> meters = {{"file", true}, {"4/4", false}};
inline const Choices<bool> window_kinds = {{"lanes", false}, {"staggered", true}};
inline const Choices<bool> note_orders = {{"descending", true}, {"ascending", false}};
inline const Choices<bool> note_sums = {{"mean", false}, {"sum", true}};
// or a share
inline const Choices<Split> split_words = {{"none", Split::none}, {"first_hex_digit", Split::first_hex_digit}};
inline const Choices<HarmonyInput> harmony_inputs = {{"softmax", HarmonyInput::softmax}, {"raw", HarmonyInput::raw}};
inline const Choices<HarmonyMatrix> harmony_matrices = {{"diatonic", HarmonyMatrix::diatonic},
                                                        {"harmonic_minor", HarmonyMatrix::harmonic_minor},
                                                        {"melodic_minor", HarmonyMatrix::melodic_minor},
                                                        {"triad", HarmonyMatrix::triad},
                                                        {"krumhansl", HarmonyMatrix::krumhansl}};
inline const Choices<HarmonyReduction> harmony_reductions = {{"mean", HarmonyReduction::mean},
                                                             {"mean_square", HarmonyReduction::mean_square}};
inline const Choices<OptimizerKind> optimizers = {{"nadam", OptimizerKind::nadam},
                                                  {"adam", OptimizerKind::adam},
                                                  {"adamw", OptimizerKind::adamw},
                                                  {"sgd", OptimizerKind::sgd}};
inline const Choices<Schedule> schedules = {
    {"constant", Schedule::constant}, {"cosine", Schedule::cosine}, {"plateau", Schedule::plateau}};
inline const Choices<bool> nan_answers = {{"stop", false}, {"skip", true}};
inline const Choices<bool> monitors = {{"validation_loss", false}, {"train_loss", true}};
inline const Choices<Precision> precisions = {
    {"float32", Precision::float32}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}};

// Calls the visitor with each key of an experiment, in the order of MODEL.md "Keys".
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
  visit.choice("data.quantize", data.quantize, quantizations);
  visit.choice("data.meter", data.file_meter, meters);
  visit.choice("data.windows", data.staggered, window_kinds);
  visit.integer("data.window", data.window, 1, max_size);
  visit.integer("data.stride", data.stride, 1, max_size);
  visit.split("data.split", data.split, data.split_rule);
  visit.flag("data.percussion", data.percussion);
  visit.flag("data.sustain", data.sustain);
  visit.integer("data.transpose", data.transpose, 0, 127);
  visit.integer("data.max_file_bytes", data.max_file_bytes, 1, max_file_bytes);

  auto& model = config.model;
  visit.integer("model.octave_units", model.octave_units, 1, max_size);
  visit.choice("model.note_order", model.descending, note_orders);
  visit.flag("model.condition", model.condition);
  visit.real("model.input_dropout", model.input_dropout, RealRange{.at_least = 0, .below = 1});
  visit.real("model.dropout", model.dropout, RealRange{.at_least = 0, .below = 1});
  visit.flag("model.relative_classes", model.relative_classes);
  visit.flag("model.match", model.match);
  visit.real("model.match_dropout", model.match_dropout, RealRange{.at_least = 0, .below = 1});
  visit.blocks("model.blocks", model.blocks);
  visit.styles("model.styles", data.styles);
  visit.integer("model.style_units", model.style_units, 1, max_size);

  auto& loss = config.loss;
  visit.choice("loss.notes", loss.sum_notes, note_sums);
  for (const LossPart& part : loss_parts) {
    if (part.weight) visit.real(weight_key(part).c_str(), loss.weight[part], RealRange{.at_least = 0});
    if (part.loss == Loss::harmony) {
      visit.choice("loss.harmony.input", loss.harmony.input, harmony_inputs);
      visit.choice("loss.harmony.matrix", loss.harmony.matrix, harmony_matrices);
      visit.integer("loss.harmony.span", loss.harmony.span, 1, max_size);
      visit.choice("loss.harmony.reduction", loss.harmony.reduction, harmony_reductions);
    }
  }

  auto& train = config.train;
  visit.choice("train.optimizer", train.optimizer, optimizers);
  visit.real("train.learning_rate", train.learning_rate, RealRange{.above = 0});
  visit.choice("train.schedule", train.schedule, schedules);
  visit.integer("train.warmup_steps", train.warmup_steps, 0, max_size);
  visit.real("train.final_learning_rate", train.final_learning_rate, RealRange{.at_least = 0, .at_most = 1});
  visit.real("train.weight_decay", train.weight_decay, RealRange{.at_least = 0});
  visit.real("train.average", train.average, RealRange{.at_least = 0, .below = 1});
  visit.real("train.clip_norm", train.clip_norm, RealRange{.at_least = 0});
  visit.choice("train.on_nan", train.skip_not_finite, nan_answers);
  visit.integer("train.batch", train.batch, 1, max_size);
  visit.integer("train.shards", train.shards, 1, max_shards);
  visit.integer("train.epochs", train.epochs, 1, max_size);
  visit.integer("train.patience", train.patience, 0, max_size);
  visit.choice("train.monitor", train.monitor_train, monitors);
  visit.text("train.start_from", train.start_from);
  visit.choice("train.precision", train.precision, precisions);
  visit.flag("train.tensorboard", train.tensorboard);

  auto& generate = config.generate;
  visit.integer("generate.pieces", generate.pieces, 1, max_size);
  visit.integer("generate.bars", generate.bars, 1, max_bars);
  visit.real("generate.temperature", generate.temperature, RealRange{.above = 0});
  visit.real("generate.tempo", generate.tempo, RealRange{.at_least = 10, .at_most = 1000});
  visit.text("generate.meter", generate.meter);
  visit.text("generate.prime", generate.prime);
  visit.integer("generate.context", generate.context, 0, max_size);
  visit.text("generate.melody", generate.melody);
  visit.text("generate.bass", generate.bass);
  visit.text("generate.keep", generate.keep);
  visit.text("generate.keep_bars", generate.keep_bars);
  visit.text("generate.scale", generate.scale);
  visit.integer("generate.most_notes", generate.most_notes, 0, 128);
  visit.integer("generate.particles", generate.particles, 1, max_size);
  visit.shares("generate.style", generate.style);
}

// Every key with its value as TOML.
struct KeyLine {
  std::string key, value;
};
std::vector<KeyLine> key_lines(const Config& config);
std::vector<KeyLine> block_key_lines(const BlockSettings& block);

}  // namespace poph
