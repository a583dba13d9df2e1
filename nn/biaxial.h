#pragma once
#include <string>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "nn/blocks/block.h"

// The model of MODEL.md "Note features", "Blocks" and "Orderings", over whole sequences: features, any list of blocks,
// heads. decoder.h runs the same weights step by step.
namespace poph {

// Note logits and volumes in ascending pitch: [T,B,N,1 or 2] (play, replay) and [T,B,N,1] (undefined without a volume
// channel).
struct Prediction {
  Var notes, volume;
};

struct Biaxial {
  ModelSettings settings;
  // Of the tensors between layers: the parameters' dtype, or bf16 beside float32 parameters. The logits are wide.
  Dtype activations;
  OctaveConv octave_conv;
  std::vector<Block> blocks;
  Linear style;  // without a bias; undefined in a model without styles
  Linear note_head, volume_head;

  Biaxial(const ModelSettings& model, uint64_t seed, Dtype dtype, Device device)
      : Biaxial(model, Initializer{seed, dtype, device}) {}
  Biaxial(const ModelSettings& model, Initializer init) : settings(model), activations(init.dtype) {
    octave_conv = OctaveConv::make(init, model.channels, model.octave_units);
    if (model.styles > 0) style = Linear::make(init, model.styles, model.style_units, false);
    int64_t width = feature_width();
    for (int64_t i = 0; i < static_cast<int64_t>(model.blocks.size()); ++i) {
      if (i == conditioning_point()) width += model.match_width() + (conditioned() ? model.channels : 0);
      blocks.push_back(make_block(init, model, i, width));
      width = outputs(blocks.back());
    }
    note_head = Linear::make(init, width, model.channels == 1 ? 1 : 2, true);
    if (model.channels > 1) volume_head = Linear::make(init, width, 1, true);
  }

  int64_t feature_width() const { return settings.feature_width(); }

  Dtype dtype() const { return note_head.weight.value().dtype(); }  // of the parameters, which all lie on one device
  Device device() const { return note_head.weight.value().device(); }

  int64_t conditioning_point() const { return settings.conditioning_point(); }
  bool conditioned() const { return settings.conditioned(); }
  bool autoregressive() const { return settings.autoregressive(); }

  // Notes in ascending pitch. The target serves as the chosen notes alone.
  Prediction operator()(const Batch& batch, ForwardContext& context) const {
    context.begins = batch.begins;
    context.next_state = 0;
    // One statement each: the order of the calls numbers the dropouts.
    const Tensor roll = context.dropout(batch.input.to(activations), settings.input_dropout);
    const Tensor beats = context.dropout(batch.beat.to(activations), settings.input_dropout);
    const Tensor match = known_match(batch, activations, context);
    context.style = known_style(batch.style, activations);
    Var x = features(roll, beats, match, context);
    const Tensor chosen = context.dropout(chosen_notes(batch.target.to(activations)), settings.input_dropout);
    for (int64_t i = 0; i < static_cast<int64_t>(blocks.size()); ++i) {
      if (i == conditioning_point()) {
        if (settings.match) x = concat_last({x, Var(match)});
        if (conditioned()) x = concat_last({x, Var(chosen)});
      }
      context.scope = "blocks." + std::to_string(i) + ".";
      x = forward(blocks[i], x, context);
    }
    context.scope.clear();
    context.style = {};
    const Prediction prediction = heads(x);
    context.observe("note_head", prediction.notes);
    if (settings.channels > 1) context.observe("volume_head", prediction.volume);
    return prediction;
  }

  // match: of known_match().
  Var features(const Tensor& roll, const Tensor& beat, const Tensor& match, ForwardContext& context) const {
    const Var sums = octave_conv(Var(roll));
    context.observe("octave_conv", sums);
    const Var conv = context.dropout(tanh(sums), settings.dropout);
    Vars all = {note_features(roll, conv, beat, settings.lowest_note, settings.descending)};
    if (settings.relative_classes) all.emplace_back(relative_class_counts(roll, settings.descending));
    if (settings.match) all.emplace_back(match);
    return all.size() == 1 ? all[0] : concat_last(all);
  }
  // The match features in note order; in training those of some steps are hidden. Undefined without them.
  Tensor known_match(const Batch& batch, Dtype dtype, ForwardContext& context) const {
    if (!settings.match) return {};
    require(batch.match.defined(), "model: a batch without match features, expected ", settings.match_width(),
            " for each note");
    const Tensor match = in_note_order(batch.match.to(dtype));
    const RandomKey key = context.next_key();
    if (!context.training) return match;
    const Tensor ones = Tensor::full({match.shape()[0], match.shape()[1], 1, 1}, 1, dtype, match.device());
    return mul(match, relu_grad(dropout(ones, settings.match_dropout, key), ones));  // dropout without its scale
  }
  // What becomes of Batch::style: [T,B,style_units]. Undefined in a model without styles.
  Var known_style(const Tensor& shares, Dtype dtype) const {
    if (settings.styles == 0) return {};
    require(shares.defined() && shares.shape().last() == settings.styles, "model: a batch without shares of styles, ",
            "expected ", settings.styles, " for each step");
    return style(Var(shares.to(dtype)));
  }
  // The target in note order, shifted by one: the notes that are known when a note is chosen.
  Tensor chosen_notes(const Tensor& target) const { return shift(in_note_order(target), 2, 1); }
  Tensor in_note_order(const Tensor& x) const { return settings.descending ? flip(x, 2) : x; }

  Prediction heads(const Var& x) const {
    const auto ascending = [&](const Var& y) { return settings.descending && y.shape()[2] > 1 ? flip(y, 2) : y; };
    return {ascending(note_head(x, true)), settings.channels > 1 ? ascending(volume_head(x, true)) : Var()};
  }

  void each_parameter(const ParameterFn& f) {
    octave_conv.each_parameter(prefixed("octave_conv.", f));
    if (settings.styles > 0) style.each_parameter(prefixed("style.", f));
    for (size_t i = 0; i < blocks.size(); ++i)
      poph::each_parameter(blocks[i], prefixed("blocks." + std::to_string(i) + ".", f));
    note_head.each_parameter(prefixed("note_head.", f));
    if (settings.channels > 1) volume_head.each_parameter(prefixed("volume_head.", f));
  }

  // Of the layers along time, for `columns` windows or lanes: what ForwardContext::states holds at a piece's beginning.
  std::vector<LstmState> zero_states(int64_t columns) const {
    std::vector<LstmState> states;
    for (const Block& block : blocks)
      if (const LstmBlock* lstm = std::get_if<LstmBlock>(&block); lstm && lstm->axis == SequenceAxis::time)
        for (size_t i = 0; i < lstm->layers.size(); ++i) {
          const Shape shape{columns * settings.notes, lstm->outputs()};
          states.push_back({Tensor::zeros(shape, activations, device()),
                            Tensor::zeros(shape, accumulate_dtype(activations), device())});
        }
    return states;
  }

  std::vector<std::pair<std::string, Tensor*>> parameter_tensors() {
    std::vector<std::pair<std::string, Tensor*>> list;
    each_parameter([&](const std::string& name, Var& parameter) { list.emplace_back(name, &parameter.value()); });
    return list;
  }
  int64_t parameter_count() {
    int64_t count = 0;
    for (const auto& [name, tensor] : parameter_tensors()) count += tensor->elements();
    return count;
  }
};

}  // namespace poph
