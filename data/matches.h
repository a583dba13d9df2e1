#pragma once
#include <span>
#include <vector>

#include "data/batch.h"
#include "data/reading/corpus.h"

// The match features (MODEL.md "Match features") of pieces in batches. The matches of a piece are found once, 16 bytes
// a step; the features are written from them when a batch asks.
namespace poph {

// Sets Piece::matches. Pieces that share a roll share them. threads 0: one per core.
void find_matches(std::span<Piece> pieces, int64_t channels, int threads);
void find_matches(Corpus& corpus, int64_t channels, int threads);

// Column b of Batch::match, steps [at, at + count) of it: the features of the piece's steps from `first` on, which are
// the batch's targets. Steps before and behind the piece are zeros. Error: find_matches() did not see this piece.
void fill_matches(const Batch& batch, int64_t b, int64_t at, int64_t count, const Piece& piece, int64_t first,
                  int64_t pitch_shift);

}  // namespace poph
