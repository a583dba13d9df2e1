#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "experiments/sweep/sweep.h"
#include "experiments/workspace/console.h"

// How long a sweep will take: before it starts, and while it runs.
namespace poph {

// "4 configurations x 6 seeds = 24 runs (2 more have the settings of one of them)"
std::string sweep_size(const Sweep& sweep);

// Prints the runs, the status of each in `path`, and how long those that are left will take. Each different model, data
// and batch is measured once, with real training steps in a process of its own.
void say_sweep_estimate(const Sweep& sweep, const SweepOptions& options, const std::string& path, Progress& progress);

// The time that a sweep still needs, from the runs that it has finished.
class TimeLeft {
 public:
  explicit TimeLeft(const Sweep& sweep) : sweep_(sweep) {}

  void measured(size_t run, double seconds);  // a run has finished, after `seconds`

  // For these runs, `jobs` at once; nothing before the first has finished. A run is expected to take the mean of its
  // configuration's runs, or else of all.
  struct Running {
    size_t run;
    double seconds;  // since its start
  };
  std::optional<double> seconds(const std::vector<size_t>& waiting, const std::vector<Running>& running,
                                int jobs) const;

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
