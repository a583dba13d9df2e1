#pragma once
#include <span>
#include <string>

#include "data/reading/corpus.h"

// How new composed pieces are: the runs of steps that they share with the pieces that were trained on.
namespace poph {

// Two steps are alike where the same notes sound; replays and volumes are not compared. A run's length is counted from
// its first to its last step in which anything sounds: silence around it is no copy.
struct Copied {
  int64_t longest = 0;   // steps of the longest run that the sample shares with any training piece
  std::string of;        // the name of a piece that has it
  int64_t sounding = 0;  // steps of the sample in which anything sounds
  int64_t copied = 0;    // those of them that lie within shared runs of at least a bar

  double share() const;  // copied / sounding; NaN for a silent sample
};

// One result a sample. Pieces count as they are and transposed by -max_shift .. max_shift semitones, as training showed
// them (data.transpose), without the notes that this moves out of range. Rolls must be of one note range.
//
// Builds a suffix automaton of all samples (Blumer et al. 1985) and streams each piece through it: linear in the size
// of the corpus times 2 max_shift + 1, whatever the number of samples.
std::vector<Copied> find_copies(std::span<const std::shared_ptr<const Roll>> samples, std::span<const Piece> pieces,
                                int64_t bar_steps, int64_t max_shift);

Copied together(std::span<const Copied> samples);  // the longest of all, and the steps of all

}  // namespace poph
