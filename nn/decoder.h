#pragma once
#include <algorithm>
#include <vector>

#include "nn/biaxial.h"

// A model in use: it reads or composes music step by step and carries a state from step to step (MODEL.md "Composing").
// Fed the same notes it gives the logits of the whole-sequence form. Nothing is recorded for gradients, and dropout is
// off.
//
// The chosen notes enter at the conditioning point. The blocks before it run on whole steps; those from it on run note
// by note.
namespace poph {

// The model must outlive it, with its weights as they are.
class BiaxialDecoder {
 public:
  explicit BiaxialDecoder(const Biaxial& model) : model_(model), states_(new_states(count())) {}

  void reset() {
    for (BlockState& state : states_) poph::reset(state);
  }

  // Between two steps: column i of the batch goes on as column columns[i] did.
  void select(const Columns& columns) {
    NoGrad no_grad;
    for (BlockState& state : states_) poph::select(state, columns);
  }

  // Everything in these steps that does not depend on other steps: features and the leading blocks without time state.
  // Worth keeping where the same steps are read again. Reads the inputs, not the target.
  Tensor prepare(const Batch& steps) const {
    NoGrad no_grad;
    ForwardContext evaluation;
    Tensor x =
        model_.features(steps.input, steps.beat, model_.known_match(steps, steps.input.dtype(), evaluation), evaluation)
            .value();
    const int64_t end = first_with_time_state();
    std::vector<BlockState> fresh = new_states(end);
    use_styles(steps.style, steps.input.dtype(), fresh);
    for (int64_t i = 0; i < end; ++i) x = advance_all(i, x, fresh);
    return x;
  }

  // Reads some steps whose target notes are known, as many as there are.
  Prediction read(const Batch& steps) {
    NoGrad no_grad;
    const Tensor prepared = prepare(steps);
    use_styles(steps.style, prepared.dtype(), states_);
    const Tensor x = run_unconditioned(prepared, steps.match, count());
    return model_.heads(Var(run_conditioned(x, model_.chosen_notes(steps.target), states_, count())));
  }

  // Updates the state as read() does of the prepared steps, computing no logits. match, style: Batch's, of these steps.
  void skip(const Tensor& prepared, const Tensor& target, const Tensor& match, const Tensor& style = {}) {
    NoGrad no_grad;
    use_styles(style, prepared.dtype(), states_);
    int64_t end = count();
    while (end > 0 && !carries_time(model_.blocks[end - 1])) --end;
    const Tensor x = run_unconditioned(prepared, match, end);
    if (end > first_conditioned()) run_conditioned(x, model_.chosen_notes(target), states_, end);
  }

  // Begins one step of composition. `prepared` is the step before it, match its own features, style its own shares.
  void begin_step(const Tensor& prepared, const Tensor& match, const Tensor& style = {}) {
    NoGrad no_grad;
    use_styles(style, prepared.dtype(), states_);
    step_input_ = run_unconditioned(prepared, match, count());
    input_is_known_ = note_by_note() &&
                      poph::begin_step(model_.blocks[first_conditioned()], step_input_, states_[first_conditioned()]);
    chosen_.clear();
    whole_step_ = Tensor();
  }
  // The logits [1,B,1,..] of the note at this position of the note order. `chosen` [1,B,1,C] is the note decided just
  // before it, undefined for the first. Call for every position in turn, then end_step.
  Prediction next_note(int64_t position, const Tensor& chosen) {
    NoGrad no_grad;
    if (position > 0) chosen_.push_back(chosen);
    if (!note_by_note()) {  // all positions in one run, again for each note where open attention sees the chosen ones
      if (!whole_step_.defined() || !model_.autoregressive()) {
        std::vector<BlockState> copy = states_;
        whole_step_ = run_conditioned(step_input_, chosen_so_far(), copy, count());
      }
      return model_.heads(Var(slice(whole_step_, 2, position, 1)));
    }
    Tensor x = position ? chosen : zero_note();
    if (!input_is_known_) x = concat_last({slice(step_input_, 2, position, 1), x});
    for (int64_t i = first_conditioned(); i < count(); ++i)
      x = advance(model_.blocks[i], x, states_[i], position, model_.settings.notes);
    return model_.heads(Var(x));
  }
  void end_step() {
    NoGrad no_grad;
    if (!note_by_note()) run_conditioned(step_input_, chosen_so_far(), states_, count());
  }

 private:
  int64_t count() const { return static_cast<int64_t>(model_.blocks.size()); }

  // The first block that depends on the chosen notes; count() where none does.
  int64_t first_conditioned() const { return model_.conditioned() ? model_.conditioning_point() : count(); }

  // A model whose chosen notes change nothing, or whose attention is open to notes not chosen yet, has no note-by-note
  // form.
  bool note_by_note() const { return model_.conditioned() && model_.autoregressive(); }

  // Of the blocks before the conditioning point.
  int64_t first_with_time_state() const {
    int64_t i = 0;
    while (i < first_conditioned() && !carries_time(model_.blocks[i])) ++i;
    return i;
  }

  std::vector<BlockState> new_states(int64_t end) const {  // of the blocks before `end`
    std::vector<BlockState> states;
    for (int64_t i = 0; i < end; ++i) states.push_back(new_state(model_.blocks[i]));
    return states;
  }

  // Before steps of these shares are read: Batch::style.
  void use_styles(const Tensor& shares, Dtype dtype, std::vector<BlockState>& states) const {
    if (model_.settings.styles == 0) return;
    const Tensor style = model_.known_style(shares, dtype).value();
    for (size_t i = 0; i < states.size(); ++i) poph::use_styles(model_.blocks[i], style, states[i]);
  }
  // Both run the blocks before `end` alone. The first gives all that the conditioned blocks know but the chosen notes.
  Tensor run_unconditioned(Tensor x, const Tensor& match, int64_t end) {
    for (int64_t i = first_with_time_state(); i < std::min(end, first_conditioned()); ++i)
      x = advance_all(i, with_match(i, x, match), states_);
    return with_match(first_conditioned(), x, match);
  }
  Tensor with_match(int64_t block, const Tensor& x, const Tensor& match) const {
    if (!model_.settings.match || block != model_.conditioning_point()) return x;
    return concat_last({x, model_.in_note_order(match.to(x.dtype()))});
  }
  Tensor run_conditioned(Tensor x, const Tensor& chosen, std::vector<BlockState>& states, int64_t end) const {
    for (int64_t i = first_conditioned(); i < end; ++i) {
      if (i == model_.conditioning_point()) x = concat_last({x, chosen});
      x = advance_all(i, x, states);
    }
    return x;
  }
  Tensor advance_all(int64_t i, const Tensor& x, std::vector<BlockState>& states) const {
    return advance(model_.blocks[i], x, states[i], all_notes, model_.settings.notes);
  }

  Tensor zero_note() const {
    return Tensor::zeros({1, step_input_.shape()[1], 1, model_.settings.channels}, step_input_.dtype(),
                         step_input_.device());
  }
  // The chosen notes of this step so far, shifted by one, then zeros: [1,B,N,C].
  Tensor chosen_so_far() const {
    const size_t notes = static_cast<size_t>(model_.settings.notes);
    Tensors parts{zero_note()};
    for (size_t i = 0; i < chosen_.size() && parts.size() < notes; ++i) parts.push_back(chosen_[i]);
    while (parts.size() < notes) parts.push_back(zero_note());
    return concat(parts, 2);
  }

  const Biaxial& model_;
  std::vector<BlockState> states_;
  Tensor step_input_, whole_step_;
  bool input_is_known_ = false;  // the first conditioned block has taken step_input_: Block's begin_step
  Tensors chosen_;
};

}  // namespace poph
