#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "experiments/progress.h"
#include "experiments/sweep.h"
#include "experiments/sweep_runner.h"

namespace poph {

// "4 configurations x 6 seeds = 24 runs (2 more have the settings of others)"
std::string sweep_size(const Sweep& sweep);

// The list of runs, where each stands in `path`, and how long all that are left will take: from real training steps, one
// measurement for each different model, data and batch, in a process of its own.
void say_sweep_estimate(const Sweep& sweep, const SweepOptions& options, const std::string& path, Progress& progress);

// How long a sweep will go on, from the runs that it has finished so far.
class TimeLeft {
 public:
  explicit TimeLeft(const Sweep& sweep) : sweep_(sweep) {}

  void measured(size_t run, double seconds);  // that run took so long

  // Of these runs with so many at once. Nothing is known before the first measurement. A run of a configuration that was measured
  // is taken for as long as that one's mean, any other for the mean of all.
  struct Running {
    size_t run;
    double seconds;  // since it began
  };
  std::optional<double> seconds(const std::vector<size_t>& waiting, const std::vector<Running>& running, int jobs) const;

 private:
  struct Mean {
    double sum = 0;
    int count = 0;
  };
  double expected(size_t run) const;

  const Sweep& sweep_;
  std::map<std::string, Mean> by_label_;
  Mean all_;
};

}  // namespace poph
