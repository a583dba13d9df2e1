#include "data/measures/repetition.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <tuple>

#include "data/measures/not_known.h"
#include "data/music/match.h"

namespace poph {
namespace {

// A name for the window of 2^k steps that begins at each step, the same for windows that are alike: [k][step].
using Names = std::vector<std::vector<int64_t>>;

Names window_names(const std::vector<Frame>& frames, int64_t longest) {
  Names names(1);
  std::map<std::tuple<uint64_t, uint64_t, uint64_t, uint64_t>, int64_t> of_frames;
  for (const Frame& frame : frames) {
    const std::tuple key{frame.play[0], frame.play[1], frame.replay[0], frame.replay[1]};
    names[0].push_back(of_frames.emplace(key, std::ssize(of_frames)).first->second);
  }
  for (int64_t half = 1; 2 * half <= longest; half *= 2) {
    const std::vector<int64_t>& parts = names.back();
    std::map<std::pair<int64_t, int64_t>, int64_t> of_pairs;
    std::vector<int64_t> next;
    for (int64_t step = 0; step + 2 * half <= std::ssize(frames); ++step)
      next.push_back(of_pairs.emplace(std::pair{parts[step], parts[step + half]}, std::ssize(of_pairs)).first->second);
    names.push_back(std::move(next));
  }
  return names;
}

}  // namespace

double repetition(const Roll& roll, int64_t steps_per_quarter) {
  const std::vector<Bars::Bar> bars = Bars(roll.meters(), steps_per_quarter).until(std::max<int64_t>(1, roll.steps()));
  std::vector<Frame> frames;
  std::vector<int64_t> lengths, silent{0};  // of each step's bar; silent steps before each
  for (int64_t step = 0; step < roll.steps(); ++step) {
    frames.push_back(frame_of(roll, step));
    silent.push_back(silent.back() + (frames.back() == Frame{}));
  }
  for (const Bars::Bar& bar : bars) lengths.resize(std::min(bar.end, roll.steps()), bar.end - bar.first);
  const std::set<int64_t> different(lengths.begin(), lengths.end());
  const Names names = window_names(frames, different.empty() ? 1 : *different.rbegin());

  int64_t counted = 0, repeated = 0;
  for (int64_t length : different) {
    const int64_t k = std::bit_width(static_cast<uint64_t>(length)) - 1, rest = length - (int64_t{1} << k);
    std::set<std::pair<int64_t, int64_t>> seen;  // two windows of 2^k steps that together are the bar
    for (int64_t first = 0; first + length <= roll.steps(); ++first) {
      const bool is_new = seen.emplace(names[k][first], names[k][first + rest]).second;
      if (lengths[first + length - 1] != length || silent[first + length] - silent[first] == length) continue;
      ++counted;
      repeated += !is_new;
    }
  }
  return counted > 0 ? static_cast<double>(repeated) / static_cast<double>(counted) : not_known;
}

MatchShares match_shares(std::span<const std::shared_ptr<const Roll>> rolls, int64_t channels) {
  MatchShares shares{};
  int64_t steps = 0;
  for (const auto& roll : rolls)
    for (const Matches& step : find_matches(*roll, channels)) {
      ++shares[std::bit_width(static_cast<uint64_t>(step.exact.length))];
      ++steps;
    }
  for (double& share : shares) share = steps > 0 ? share / static_cast<double>(steps) : not_known;
  return shares;
}

}  // namespace poph
