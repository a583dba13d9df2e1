#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/config/config.h"
#include "experiments/workspace/run_record.h"
#include "tensor/error.h"

// The folder of a run, runs/NAME/:
//
//   config.toml              the experiment with every key resolved: an experiment file itself. Paths that were written
//                            as relative ones are relative to this folder, so that a run moves with its music
//   run.json                 what is known of the run (run_record.h)
//   metrics.jsonl            the losses of each split after each epoch, and each step that was not finite; a JSON
//                            object a line (trainer.cpp)
//   log.txt                  what was printed
//   skipped.jsonl            the files of music that were skipped or are damaged (corpus_summary.h), if there are any
//   checkpoints/best, last   each NAME.safetensors (weights) and NAME.state.safetensors (training state)
//   samples/                 piece_1.mid, piece_1.svg, ..
//   audio/                   the samples as sound, once a report was made
//   events.out.tfevents.*    for TensorBoard
//   report.html, report.csv, report_runs.csv
//   run.lock                 locked by the process that works on the run; names it
namespace poph {

class LockFile;

class RunFolder {
 public:
  struct InUse : Error {  // another process holds the folder
    using Error::Error;
  };
  // `hold` makes the folder, or opens it where it is a run's, and locks it. Error: InUse, with the holder's name; it
  // holds something else; it cannot be written. `look` reads what is there, without locking or changing anything.
  enum class Use { hold, look };
  explicit RunFolder(const std::string& path, Use use = Use::hold);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  static bool held(const std::string& path);  // by another process
  // The folders beside `path` that hold a run with these settings under another name.
  static std::vector<std::string> same_runs_beside(const std::string& path, const Config& config);
  // Error where the folder was removed, moved or replaced since: what is written now would be lost, or would go into
  // another run. Whatever writes here asks first.
  void require_there() const;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string checkpoint(const std::string& name) const { return file("checkpoints/" + name); }  // a stem

  bool has_config() const;
  Config config() const;
  void write_config(const Config& config) const;
  RunRecord record() const;  // of run.json; the default one where there is none
  void write_record(const RunRecord& record) const;

  void append_metrics(const std::vector<nlohmann::json>& lines) const;  // on return they are on the disk
  // Drops lines of later steps or epochs and a torn last line. Returns the largest time_s of the others, in seconds.
  double cut_metrics_after(int64_t step, int64_t epoch) const;

 private:
  std::string path_;
  std::unique_ptr<LockFile> lock_;
};

// Makes the folder and those above it, on the disk. Error: it cannot be made, or cannot be written.
void make_folder(const std::string& path);

// Renames PATH to the first of PATH.1, PATH.2, .. that is free, and returns the new name.
std::string move_aside(const std::string& path);
// Whether a folder of this name is one that the run's folder was renamed to.
bool is_moved_aside(const std::string& folder_name, const std::string& run_name);

}  // namespace poph
