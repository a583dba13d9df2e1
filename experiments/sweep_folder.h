#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>

#include "experiments/lock_file.h"
#include "experiments/sweep.h"

namespace poph {

// Where a run of a sweep stands, from its folder alone: whichever process did it, whenever.
struct RunState {
  std::string status = "pending";  // or running, finished, interrupted, failed, diverged
  std::string error;               // of the last two
  double seconds = 0;              // spent training, over all sittings
  std::optional<double> best_loss;

  bool broken() const { return status == "failed" || status == "diverged"; }
};
RunState state_of(const std::string& run_folder);

// Gives each run the folder that has its settings already, under whatever label it was made.
void adopt_folders(Sweep& sweep, const std::string& path);

// runs/<sweep>/: sweep.toml, index.jsonl, log.txt and a folder for each run. Any number of processes may have it open at once, as
// long as the sweep is the same for all of them; what its settings were before does not matter to a process that comes alone.
class SweepFolder {
 public:
  // Makes the folder, or opens it. Error: it holds something else; other processes work on it with another list of runs.
  SweepFolder(const std::string& path, Sweep& sweep);

  const std::string& path() const { return path_; }
  std::string run_folder(const SweepRun& run) const { return path_ + "/" + run.id; }
  RunState state(const SweepRun& run) const;  // state_of its folder, and what only this process knows

  void note_begin(const SweepRun& run);  // a process of ours has it from now on, before it holds the folder
  void note_end(const SweepRun& run) { begun_.erase(run.id); }

  // Writes that a run failed without a word of its own (a crash, no memory) into its run.json; where that cannot be written, into
  // the index of this process alone.
  void note_failure(const SweepRun& run, const std::string& error);
  void write_index() const;  // index.jsonl, from the states of all runs

  static void refuse_use(const std::string& path);  // Error where any process has it open

 private:
  void require_there() const;  // Error where the folder was removed or replaced since

  std::string path_;
  const Sweep& sweep_;
  mutable LockFile lock_;
  std::set<std::string> begun_;
  std::map<std::string, std::string> unwritten_;  // errors by run
};

}  // namespace poph
