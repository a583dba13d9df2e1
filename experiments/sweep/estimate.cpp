#include "experiments/sweep/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "experiments/config/keys.h"
#include "experiments/run/estimate.h"
#include "experiments/sweep/child.h"
#include "experiments/sweep/folder.h"

namespace poph {
namespace {

// The settings that the time of a training step depends on. Losses cost next to nothing beside the model.
std::string costly_settings(const Config& config) {
  std::string text;
  for (const KeyLine& line : key_lines(config))
    if (line.key.starts_with("data.") || line.key.starts_with("model.") || line.key == "train.batch" ||
        line.key == "train.precision")
      text += line.key + "=" + line.value + "\n";
  return text;
}

// Measures in a child: this process may have to fork others later, and a model that does not fit into memory ends the
// child alone.
double epoch_seconds(const Config& config, const RunOptions& options) {
  Child child([&](const Child::Send& send) {
    send(fmt::format("{}", estimate_run(config, options).epoch_seconds));
    return 0;
  });
  while (!child.ended()) Child::wait({&child}, 1000);
  if (child.exit_code() != 0) fail(child.error());
  return std::stod(child.message());
}

}  // namespace

std::string sweep_size(const Sweep& sweep) {
  std::string text =
      fmt::format("{} configuration{} x {} seed{} = {} runs", sweep.configurations,
                  sweep.configurations == 1 ? "" : "s", sweep.seeds, sweep.seeds == 1 ? "" : "s", sweep.runs.size());
  if (sweep.merged) text += fmt::format(" ({} more have the settings of one of them)", sweep.merged);
  return text;
}

void say_sweep_estimate(const Sweep& sweep, const SweepOptions& options, const std::string& path, Progress& progress) {
  RunOptions share = options.run;
  share.threads = std::max(1, options.run.threads / options.jobs);
  progress.line(fmt::format("sweep {}: {} in {}", sweep.name, sweep_size(sweep), path));
  std::map<std::string, double> measured;
  double sum = 0, longest = 0;
  size_t left = 0;
  for (size_t r = 0; r < sweep.runs.size(); ++r) {
    const SweepRun& run = sweep.runs[r];
    const RunState state = state_of(path + "/" + run.id);
    std::string time;
    if (!state.finished()) {
      const auto [known, is_new] = measured.try_emplace(costly_settings(run.config));
      if (is_new) {
        progress.live(fmt::format("measuring a step of {} ..", run.label));
        known->second = epoch_seconds(run.config, share);
      }
      const double seconds = known->second * static_cast<double>(run.config.train.epochs);
      time = ", at most " + human_time(seconds);
      sum += seconds, longest = std::max(longest, seconds), ++left;
    }
    progress.line(fmt::format("{:>5}  {}  {}{}{}: {}{}", r, run.id, run.label, run.baseline ? ", the baseline" : "",
                              run.config.model.autoregressive() ? "" : " [autoregressive = false]",
                              status_name(state.status), time));
  }
  const double all = std::max(longest, sum / options.jobs);
  progress.line(fmt::format(
      "time: at most {} for the {} runs that are left, {} at once with {} thread{} each; composing not counted, "
      "early stopping neither",
      human_time(all), left, options.jobs, share.threads, share.threads == 1 ? "" : "s"));
}

void TimeLeft::measured(size_t run, double seconds) {
  for (Mean* mean : {&by_label_[sweep_.runs[run].label], &all_}) {
    mean->sum += seconds;
    ++mean->count;
  }
}

double TimeLeft::expected(size_t run) const {
  const auto found = by_label_.find(sweep_.runs[run].label);
  const Mean& mean = found == by_label_.end() ? all_ : found->second;
  return mean.sum / mean.count;
}

std::optional<double> TimeLeft::seconds(const std::vector<size_t>& waiting, const std::vector<Running>& running,
                                        int jobs) const {
  if (all_.count == 0) return std::nullopt;
  double sum = 0, longest = 0;
  for (const size_t run : waiting) sum += expected(run);
  for (const Running& one : running) {
    const double rest = std::max(0.0, expected(one.run) - one.seconds);
    sum += rest;
    longest = std::max(longest, rest);
  }
  return std::max(longest, sum / jobs);
}

}  // namespace poph
