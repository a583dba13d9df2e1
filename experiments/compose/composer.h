#pragma once
#include <functional>

#include "data/music/roll.h"
#include "experiments/compose/constraint.h"
#include "experiments/workspace/run_record.h"
#include "nn/decoder.h"

// Composing: a model's notes, drawn one by one (MODEL.md "Composing").
namespace poph {

// A piece while it is composed, for who looks on. With several particles it is the one that weighs most.
struct SoundingNote {
  int64_t note = 0;
  Cell cell = 0;
  double probability = 0;  // that it plays, by the model: after all that came before it, at temperature 1
  bool given = false;
};
struct ComposedStep {
  std::vector<SoundingNote> notes;
  double log_probability = 0;  // of which notes play (MODEL.md "Evaluation")
};
struct PieceSoFar {
  int64_t steps = 0, settled = 0;   // composed so far; those at the beginning that all particles share: they stay
  int64_t changed = 0;              // the first step that is not as it was last time, or is new
  std::vector<ComposedStep> fresh;  // from `changed` on
};
using PieceWatcher = std::function<void(const PieceSoFar&)>;

struct ComposeSettings {
  int64_t pieces = 4, steps = 512, steps_per_quarter = 4;
  double temperature = 1.0;
  uint64_t seed = 1;
  const Roll* prime = nullptr;  // music to continue; part of the result with keep_prime
  bool keep_prime = false;
  std::vector<MeterChange> meters = {};  // of the prime and of what follows
  // 0: carry the state; T: re-read the last T steps from a zero state before every step. There is no more to read than
  // the prime and the piece: a larger one counts as the steps of both.
  int64_t context = 0;
  std::vector<double> style = {};  // for a model with styles: the share of each, which sum to 1
  // What the pieces must keep to, and how many particles compose each of them (MODEL.md "Conditions"). Without a
  // constraint, or with one that fixes nothing, there is one particle and nothing to weigh.
  const Constraint* constraint = nullptr;
  int64_t particles = 1;
  // Is called after each step of the first piece, and at the end with the particle that was drawn. Changes no note.
  PieceWatcher watcher = {};

  int64_t all_steps() const { return steps + (prime ? prime->steps() : 0); }
};

// The settings with a context that there is music for, and without a constraint that fixes nothing. Error: they make no
// sense.
ComposeSettings checked(ComposeSettings settings);

// (step, column, note) cells that are read together: a bound on the memory.
inline constexpr int64_t cells_composed_at_once = 1 << 16;

// What composing takes of memory beside the model, at most, in bytes; Error where so much is not free.
double compose_bytes(const Biaxial& model, const ComposeSettings& settings);
void require_memory(const Biaxial& model, const ComposeSettings& settings);

// `pieces` pieces of `steps` new steps each, composed together. `each_step` is called with the number of steps done and
// returns false to stop; the pieces are then returned as far as they are. The same model, settings and seed give the
// same notes, and a piece is the same whatever the number of pieces. `reports` gets a report of each piece. Error,
// before anything is composed: the settings make no sense, or there is too little memory for them.
std::vector<Roll> compose(const Biaxial& model, const ComposeSettings& settings,
                          const std::function<bool(int64_t)>& each_step = {},
                          std::vector<ConditionReport>* reports = nullptr);

}  // namespace poph
