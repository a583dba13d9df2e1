#pragma once
#include <array>
#include <memory>
#include <span>
#include <vector>

#include "data/music/roll.h"

// How much music repeats itself: too little and it has no form, too much and it goes round in circles.
namespace poph {

// Share of the steps whose last bar stood earlier in the piece: as many steps as the step's own bar has, this one the
// last, with the same notes and strokes, at any place of a bar. A bar in which nothing sounds does not count, nor do
// steps with less than a bar behind them. NaN where no step counts.
double repetition(const Roll& roll, int64_t steps_per_quarter);

// Steps by the length of their exact match (MODEL.md "Match features").
inline constexpr std::array<const char*, 8> match_classes = {"0", "1", "2-3", "4-7", "8-15", "16-31", "32-63", "64"};
using MatchShares = std::array<double, match_classes.size()>;

// Shares of all steps of these pieces; NaN without any. Replays count where there are more channels than play.
MatchShares match_shares(std::span<const std::shared_ptr<const Roll>> rolls, int64_t channels);

}  // namespace poph
