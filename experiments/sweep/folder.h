#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "experiments/sweep/sweep.h"
#include "experiments/workspace/lock_file.h"
#include "experiments/workspace/run_record.h"

// The folder of a sweep, runs/SWEEP/:
//
//   sweep.toml     the sweep as a file of its own (Sweep::text), with paths as a run's config.toml has them
//   index.jsonl    the runs and where they stand, one JSON object a line
//   log.txt        what was printed
//   sweep.lock     locked by all processes that work on the sweep
//   ID/            the folder of a run (run_folder.h)
//   report.html, report.csv, report_runs.csv
//
// A line of index.jsonl: {id, label, settings: {KEY: value, ..}, seed, status, error, seconds, autoregressive,
// baseline}. `status` is that of run.json, or "pending" or "running"; `error` is there after a failure, `baseline` in
// the baseline's runs. The index is made from the run folders, so any process may write it at any time.
namespace poph {

// The state of a run, from its folder alone: it does not matter which process did the work, or when.
struct RunState {
  RunStatus status = RunStatus::pending;
  std::string error;   // of a run that failed or diverged
  double seconds = 0;  // of training, in all sessions
  std::optional<double> best_loss;

  bool finished() const { return status == RunStatus::finished; }
  bool running() const { return status == RunStatus::running; }
  bool broken() const { return status == RunStatus::failed || status == RunStatus::diverged; }
};
RunState state_of(const std::string& run_folder);

// Any number of processes may have the folder open at once, as long as all have the same list of runs. A process that
// comes alone may bring another list.
class SweepFolder {
 public:
  // Makes the folder, or opens it. Error: it holds something else; other processes work on another list of runs.
  SweepFolder(const std::string& path, Sweep& sweep);

  const std::string& path() const { return path_; }
  std::string run_folder(const SweepRun& run) const { return path_ + "/" + run.id; }
  RunState state(const SweepRun& run) const;  // state_of its folder, and of the runs of this process

  void note_start(const SweepRun& run);  // a child works on it from now on, before it holds the folder
  void note_end(const SweepRun& run) { started_.erase(run.id); }

  // Writes that a run failed or diverged into its run.json, for the run may have crashed before it could. Where that
  // cannot be written, into the index of this process alone.
  void note_failure(const SweepRun& run, RunStatus status, const std::string& error);
  void write_index() const;  // index.jsonl, from the states of all runs

  static void refuse_use(const std::string& path);  // Error where any process has it open

 private:
  void require_there() const;  // Error where the folder was removed or replaced since

  std::string path_;
  const Sweep& sweep_;
  mutable LockFile lock_;
  std::set<std::string> started_;
  struct Failure {
    RunStatus status;
    std::string error;
  };
  std::map<std::string, Failure> unwritten_;  // by run
};

}  // namespace poph
