#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "data/measures/scores.h"
#include "data/reading/corpus.h"

// How often each key of the piano sounds in the training pieces. By these counts a model of play alone on fewer keys
// has an exact figure for all 88 (MODEL.md "Evaluation"): a key outside its range is independent of all else.
namespace poph {

struct KeyCounts {
  int64_t frames = 0;                          // steps of the training pieces
  std::array<int64_t, piano_keys> sounding{};  // the steps in which each key sounds, from the lowest on

  double probability(int64_t pitch) const {
    return (0.5 + static_cast<double>(sounding[pitch - lowest_piano_key])) / (1 + static_cast<double>(frames));
  }
  bool operator==(const KeyCounts&) const = default;
};

// Nothing where a piece has notes beyond the piano, or the keys outside its range were not counted.
std::optional<KeyCounts> count_keys(const std::vector<Piece>& pieces);

// log P of the keys outside the pieces' range; nothing where these were not counted.
std::optional<std::vector<PieceScore>> outside_scores(const std::vector<Piece>& pieces, const KeyCounts& counts);

// As a checkpoint has them: the frames, then the 88 counts, with spaces between. Error, with `origin`: anything else.
std::string key_counts_text(const KeyCounts& counts);
KeyCounts parse_key_counts(const std::string& text, const std::string& origin);

}  // namespace poph
