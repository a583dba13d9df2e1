#pragma once
#include <vector>

#include "data/music/match.h"
#include "nn/settings.h"

// Match features of composed steps, the plain way.
namespace poph::test {

// The match features of steps first .. last, all looked up anew among the steps before.
inline std::vector<double> plain_features(const ModelSettings& settings, const std::vector<std::vector<double>>& steps,
                                          int64_t first, int64_t last) {
  std::vector<double> all;
  if (!settings.match) return all;
  for (int64_t step = first; step <= last; ++step) {
    std::vector<double> features(settings.notes * settings.match_width());
    MatchFinder finder(settings.notes, settings.channels);
    for (int64_t s = 0; s < step; ++s) {
      Frame frame;
      for (int64_t n = 0; n < settings.notes; ++n)
        if (steps[s][n * settings.channels] > 0)
          frame.set(n, settings.channels > 1 && steps[s][n * settings.channels + 1] > 0);
      finder.append(frame);
    }
    const Matches found = finder.next();
    if (step > 0)
      write_match_features(found, steps[found.exact.from].data(), steps[found.transposed.from].data(), settings.notes,
                           settings.channels, 0, features.data());
    all.insert(all.end(), features.begin(), features.end());
  }
  return all;
}

}  // namespace poph::test
