#pragma once
#include <algorithm>

#include "nn/blocks.h"

namespace poph {

// Note logits and volumes in ascending pitch: [T,B,N,1 or 2] (play, replay) and [T,B,N,1] (undefined without a volume channel).
struct Prediction {
  Var notes, volume;
};

// The model of SPEC 3 to 5: features, any list of blocks, heads.
struct Biaxial {
  ModelSettings settings;
  // What operator() keeps between layers: the parameters' dtype, or bf16 beside float32 parameters. Its results are wide.
  Dtype activations;
  OctaveConv octave_conv;
  std::vector<Block> blocks;
  Linear note_head, volume_head;

  Biaxial(const ModelSettings& model, uint64_t seed, Dtype dtype, Device device) : Biaxial(model, Initializer{seed, dtype, device}) {}
  Biaxial(const ModelSettings& model, Initializer init) : settings(model), activations(init.dtype) {
    octave_conv = OctaveConv::make(init, model.channels, model.octave_units);
    int64_t width = feature_width();
    for (int64_t i = 0; i < static_cast<int64_t>(model.blocks.size()); ++i) {
      const BlockSettings& block = model.blocks[i];
      if (conditioned() && i == conditioning_point()) width += model.channels;
      if (block.is_attention()) {
        const bool masked = conditioning_point() >= 0 && i >= conditioning_point() && block.mask == Mask::automatic;
        blocks.emplace_back(AttentionBlock::make(init, block, masked, width));
      } else {
        blocks.emplace_back(LstmBlock::make(init, block, model.dropout, width));
      }
      width = std::visit([](const auto& made) { return made.outputs(); }, blocks.back());
    }
    note_head = Linear::make(init, width, model.channels == 1 ? 1 : 2, true);
    if (model.channels > 1) volume_head = Linear::make(init, width, 1, true);
  }

  int64_t feature_width() const { return 1 + 12 + 1 + settings.octave_units + 16; }

  int64_t conditioning_point() const { return settings.conditioning_point(); }
  bool conditioned() const { return settings.conditioned(); }
  bool autoregressive() const { return settings.autoregressive(); }

  // input, target [T,B,N,C] and beat [T,B,16], notes in ascending pitch. The target serves as the chosen notes only.
  Prediction operator()(const Tensor& input, const Tensor& target, const Tensor& beat, Pass& pass) const {
    // One after the other: dropouts are numbered as they happen.
    const Tensor roll = pass.dropout(input.to(activations), settings.input_dropout);
    const Tensor place = pass.dropout(beat.to(activations), settings.input_dropout);
    Var x = features(roll, place, pass);
    const Tensor chosen = pass.dropout(chosen_notes(target.to(activations)), settings.input_dropout);
    for (int64_t i = 0; i < static_cast<int64_t>(blocks.size()); ++i) {
      if (conditioned() && i == conditioning_point()) x = concat_last({x, Var(chosen)});
      pass.place = "blocks." + std::to_string(i) + ".";
      x = std::visit([&](const auto& block) { return block(x, pass); }, blocks[i]);
    }
    pass.place.clear();
    const Prediction prediction = heads(x);
    pass.observed("note_head", prediction.notes);
    if (settings.channels > 1) pass.observed("volume_head", prediction.volume);
    return prediction;
  }

  Var features(const Tensor& roll, const Tensor& beat, Pass& pass) const {
    const Var sums = octave_conv(Var(roll));
    pass.observed("octave_conv", sums);
    const Var conv = pass.dropout(tanh(sums), settings.dropout);
    return note_features(roll, conv, beat, settings.lowest_note, settings.descending);
  }
  // The target in note order, moved on by one: what is known when a note is chosen.
  Tensor chosen_notes(const Tensor& target) const { return shift(in_note_order(target), 2, 1); }
  Tensor in_note_order(const Tensor& x) const { return settings.descending ? flip(x, 2) : x; }

  Prediction heads(const Var& x) const {
    const auto ascending = [&](const Var& y) { return settings.descending && y.shape()[2] > 1 ? flip(y, 2) : y; };
    return {ascending(note_head(x, true)), settings.channels > 1 ? ascending(volume_head(x, true)) : Var()};
  }

  void each_parameter(const ParameterFn& f) {
    octave_conv.each_parameter(prefixed("octave_conv.", f));
    for (size_t i = 0; i < blocks.size(); ++i)
      std::visit([&](auto& block) { block.each_parameter(prefixed("blocks." + std::to_string(i) + ".", f)); }, blocks[i]);
    note_head.each_parameter(prefixed("note_head.", f));
    if (settings.channels > 1) volume_head.each_parameter(prefixed("volume_head.", f));
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
