#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "data/roll.h"

// What key music is in: the plainest measures of whether samples resemble a corpus.
namespace poph {

struct Tonality {
  int64_t notes = 0;                             // note-ons, replays included
  std::array<double, 12> pitch_classes{};        // share of the notes on C, C#, .., B
  std::string key;                               // of all 24 the best by correlation with the Krumhansl-Kessler profiles
  double in_key = 0;                             // share of the notes in the best-fitting diatonic scale
};

Tonality tonality(const Roll& roll);

// Over many pieces: histograms and in_key weighted by notes; each piece has its own best-fitting scale; key is left empty.
Tonality tonality(const std::vector<std::shared_ptr<const Roll>>& rolls);

// Half the sum of absolute differences of two histograms: 0 for equal ones, 1 for ones that share nothing.
double histogram_distance(const std::array<double, 12>& a, const std::array<double, 12>& b);

}  // namespace poph
