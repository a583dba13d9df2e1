#pragma once
#include <cstdint>

// A block is a struct that maps [T,B,N,F] to [T,B,N,F'], notes in note order (MODEL.md "Blocks"). Its members:
//
//   make(..)                         the block with initial weights
//   outputs()                        F'
//   size_text()                      its size in a run's description of the model: "2 x 256"
//   operator()(x, context)           whole sequences. Dropout goes through the context, and outputs are shown to it.
//   struct State                     all that it remembers of earlier steps and notes; a new one remembers nothing.
//                                    reset() forgets it all. select(columns), called between two steps, lets column i
//                                    of the batch go on from what columns[i] remembers (columns.h)
//   advance(x, state, note, notes)   the same arithmetic without dropout and gradients, continuing from the state: some
//                                    time steps with all their notes (note = all_notes), or one note of one time step,
//                                    x [1,B,1,F], in turn from 0 to notes - 1
//   carries_time()                   whether the state outlives a time step
//   each_parameter(f)                the parameters and their names in a checkpoint
//
// Optional: begin_step(known, state) takes [1,B,N,F1], the inputs of all notes of the coming step that are known before
// the first note is chosen. Where it returns true, advance() is given the other inputs of each note alone.
//
// Optional: use_styles(style, state) takes what the mixture of styles has become, [T,B,S], of the steps that come next.
//
// block.h lists the blocks. Whatever a block computes must not depend on later time steps, nor, where it is masked, on
// later notes.
namespace poph {

constexpr int64_t all_notes = -1;

}  // namespace poph
