#pragma once
#include "nn/biaxial.h"

namespace poph {

// A model in use: it reads or composes music step by step and carries what it has seen (SPEC 8). Fed the same notes it gives the
// logits of the whole-sequence form. Nothing is recorded for gradients and dropout is off. The model's weights must stay as they
// are while a stream of it lives.
class BiaxialStream {
 public:
  explicit BiaxialStream(const Biaxial& model) : model_(model) { reset(); }

  void reset() {
    states_.resize(model_.blocks.size());
    for (BlockState& state : states_) state.forget();
  }

  // What some steps' inputs make that depends on no other step: the features, and what the first blocks make of them as far as
  // these carry nothing along time. To be kept where the same steps are read again and again. input [T,B,N,C], beat [T,B,16].
  Tensor prepare(const Tensor& input, const Tensor& beat) const {
    NoGrad no_grad;
    Pass evaluation;
    Tensor x = model_.features(input, beat, evaluation).value();
    std::vector<BlockState> none(first_carrying());
    for (int64_t i = 0; i < first_carrying(); ++i) x = advance_all(i, x, none);
    return x;
  }

  // Reads some steps whose target notes are known: shapes as in Biaxial::operator(), T of any length.
  Prediction read(const Tensor& input, const Tensor& target, const Tensor& beat) {
    NoGrad no_grad;
    const Tensor x = run_before(prepare(input, beat));
    return model_.heads(Var(run_after(x, model_.chosen_notes(target), states_)));
  }

  // The same of prepared steps, for what follows alone: brings the carried state to where read() would, and nothing else is
  // computed.
  void follow(const Tensor& prepared, const Tensor& target) {
    NoGrad no_grad;
    int64_t end = static_cast<int64_t>(model_.blocks.size());  // behind the last block that carries anything
    while (end > 0 && !std::visit([](const auto& block) { return block.carries_time(); }, model_.blocks[end - 1])) --end;
    const Tensor x = run_before(prepared, end);
    if (end > first_after()) run_after(x, model_.chosen_notes(target), states_, end);
  }

  // Begins one step of composition; prepared: the step before it.
  void begin_step(const Tensor& prepared) {
    NoGrad no_grad;
    step_input_ = run_before(prepared);
    begun_ = Tensor();
    if (const LstmBlock* const first = one_by_one() ? std::get_if<LstmBlock>(&model_.blocks[first_after()]) : nullptr)
      begun_ = first->begun(step_input_, states_[first_after()]);
    if (begun_.defined()) begun_ = begun_.reshape({1, step_input_.shape()[1], model_.settings.notes, begun_.shape().last()});
    chosen_.clear();
    whole_step_ = Tensor();
  }
  // The logits [1,B,1,..] of the position-th note in note order. `chosen` [1,B,1,C] is the note decided just before it, undefined
  // for the first. Call for every position in turn, then end_step.
  Prediction next_note(int64_t position, const Tensor& chosen) {
    NoGrad no_grad;
    const int64_t notes = model_.settings.notes;
    if (position > 0) chosen_.push_back(chosen);
    if (!one_by_one()) {  // every position in one run; with open attention the run depends on what is chosen so far
      if (!whole_step_.defined() || !model_.autoregressive()) {
        std::vector<BlockState> copy = states_;
        whole_step_ = run_after(step_input_, chosen_so_far(), copy);
      }
      return model_.heads(Var(note_of(whole_step_, position)));
    }
    Tensor x = position ? chosen : zero_note();
    int64_t i = first_after();
    if (begun_.defined()) {
      const Tensor start = note_of(begun_, position);
      x = std::get<LstmBlock>(model_.blocks[i])
              .advance(x, states_[i], position, notes, start.reshape({start.shape()[1], start.shape()[3]}));
      ++i;
    } else {
      x = concat_last({note_of(step_input_, position), x});
    }
    for (; i < static_cast<int64_t>(model_.blocks.size()); ++i)
      x = std::visit([&](const auto& block) { return block.advance(x, states_[i], position, notes); }, model_.blocks[i]);
    return model_.heads(Var(x));
  }
  void end_step() {
    NoGrad no_grad;
    if (!one_by_one()) run_after(step_input_, chosen_so_far(), states_);
  }

 private:
  static constexpr int64_t all_blocks = INT64_MAX;

  // Blocks before the conditioning point run on whole steps; those after it note by note. A model whose chosen notes change
  // nothing, or whose attention is open to notes not chosen yet, has no note-by-note form.
  int64_t first_after() const {
    return model_.conditioned() ? model_.conditioning_point() : static_cast<int64_t>(model_.blocks.size());
  }
  bool one_by_one() const { return model_.conditioned() && model_.autoregressive(); }

  // Of the blocks before the conditioning point.
  int64_t first_carrying() const {
    int64_t i = 0;
    while (i < first_after() && !std::visit([](const auto& block) { return block.carries_time(); }, model_.blocks[i])) ++i;
    return i;
  }

  Tensor run_before(Tensor x, int64_t end = all_blocks) {
    for (int64_t i = first_carrying(); i < std::min(end, first_after()); ++i) x = advance_all(i, x, states_);
    return x;
  }
  Tensor run_after(Tensor x, const Tensor& chosen, std::vector<BlockState>& states, int64_t end = all_blocks) const {
    for (int64_t i = first_after(); i < std::min(end, static_cast<int64_t>(model_.blocks.size())); ++i) {
      if (i == model_.conditioning_point()) x = concat_last({x, chosen});
      x = advance_all(i, x, states);
    }
    return x;
  }
  Tensor advance_all(int64_t i, const Tensor& x, std::vector<BlockState>& states) const {
    return std::visit([&](const auto& block) { return block.advance(x, states[i], all_notes, model_.settings.notes); },
                      model_.blocks[i]);
  }

  Tensor note_of(const Tensor& x, int64_t position) const {  // [1,B,N,F] -> [1,B,1,F]
    const Shape& s = x.shape();
    return slice_last(x.reshape({s[1], s[2] * s[3]}), position * s[3], s[3]).reshape({1, s[1], 1, s[3]});
  }
  Tensor zero_note() const {
    return Tensor::zeros({1, step_input_.shape()[1], 1, model_.settings.channels}, step_input_.dtype(), step_input_.device());
  }
  // The chosen notes of this step as far as they are known, moved on by one, zeros behind: [1,B,N,C].
  Tensor chosen_so_far() const {
    const int64_t notes = model_.settings.notes, channels = model_.settings.channels, pieces = step_input_.shape()[1];
    Tensors parts{zero_note()};
    for (size_t i = 0; i < chosen_.size() && static_cast<int64_t>(parts.size()) < notes; ++i) parts.push_back(chosen_[i]);
    while (static_cast<int64_t>(parts.size()) < notes) parts.push_back(zero_note());
    for (Tensor& part : parts) part = part.reshape({pieces, channels});
    return concat_last(parts).reshape({1, pieces, notes, channels});
  }

  const Biaxial& model_;
  std::vector<BlockState> states_;
  Tensor step_input_, begun_, whole_step_;  // begun_: of the first block's sums, [1,B,N,..]
  Tensors chosen_;
};

}  // namespace poph
