#pragma once
#include <cstdint>
#include <span>

#include "data/measures/not_known.h"

// How likely a model finds whole pieces (MODEL.md "Evaluation"): log P of each piece, and the four averages, which are
// shown together because each of them is somebody's figure. Networks and counting models are averaged here alike.
namespace poph {

struct PieceScore {
  int64_t steps = 0;
  double all = 0, first = 0;  // log P in nats: of all its steps, and of its first one

  PieceScore& operator+=(const PieceScore& other) {  // of other notes of the same steps
    all += other.all;
    first += other.first;
    return *this;
  }
};

struct Averages {
  double nats_per_step = not_known;                // over all steps of all pieces
  double nats_per_step_without_first = not_known;  // each piece's first step left out; not known where all are first
  double nats_per_step_mean_of_pieces = not_known;
  double nats_per_quarter = not_known;
};
Averages averages(std::span<const PieceScore> pieces, int64_t steps_per_quarter);
int64_t steps_of(std::span<const PieceScore> pieces);

}  // namespace poph
