#pragma once
#include <optional>
#include <span>
#include <vector>

#include "data/measures/scores.h"
#include "experiments/train/evaluator.h"

// The log-likelihood of whole pieces (MODEL.md "Evaluation"): each is read from its start to its end with carried
// state. Higher is better.
namespace poph {

// The scores of each piece by each model, [model][piece], and behind several models by their mixture: the model whose
// conditionals, cell by cell, are the mean of theirs. Only the play matrix is scored, so models of play alone mix with
// others.
//
// Pieces of like length are read side by side. A piece's score is then the same to rounding, not bit by bit: the
// products of matrices have other shapes. It does not depend on the number of threads. Error: a model sees the notes it
// predicts, or models differ in their notes or in the order in which these are chosen: the mean of such conditionals is
// no distribution. An empty result: interrupted.
using Scores = std::vector<std::vector<PieceScore>>;
std::optional<Scores> score_pieces(std::span<const Biaxial* const> models, const std::vector<Piece>& pieces,
                                   int64_t steps_per_quarter, const Interrupted& interrupted = {},
                                   int64_t max_cells = cells_at_once);

// The same of one model.
struct LogLikelihood : Averages {
  int64_t steps = 0;
  std::vector<PieceScore> pieces;
};
std::optional<LogLikelihood> log_likelihood(const Biaxial& model, const std::vector<Piece>& pieces,
                                            int64_t steps_per_quarter, const Interrupted& interrupted = {});

}  // namespace poph
