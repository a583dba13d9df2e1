#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/config.h"
#include "tensor/error.h"

namespace poph {

class LockFile;

// runs/<name>/: config.toml, run.json, metrics.jsonl, log.txt, checkpoints/, samples/. One process at a time holds it.
class RunFolder {
 public:
  struct InUse : Error {  // another process holds the folder
    using Error::Error;
  };
  // Makes the folder, or opens it when it is one of ours. Error: InUse, with the holder's name; it holds something else; it cannot
  // be written. To `look` is to read what is there, without holding or changing anything.
  enum class Use { hold, look };
  explicit RunFolder(const std::string& path, Use use = Use::hold);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  static bool held(const std::string& path);  // by another process, now
  // Error where the folder was removed, moved away or replaced since: what is written then would go nowhere, or into another's
  // run. All that writes here asks first.
  void require_there() const;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string checkpoint(const std::string& name) const { return file("checkpoints/" + name); }  // a stem

  bool has_config() const;
  Config config() const;
  void write_config(const Config& config) const;
  nlohmann::json run() const;                       // run.json; an empty object when there is none
  void write_run(const nlohmann::json& run) const;

  void append_metrics(const std::vector<nlohmann::json>& lines) const;  // they are on the disk then
  // Drops lines of later steps or epochs and a torn last line; the largest time_s of the others, in seconds.
  double cut_metrics_after(int64_t step, int64_t epoch) const;

 private:
  std::string path_;
  std::unique_ptr<LockFile> lock_;
};

// Error where the folder is not there and cannot be made, or takes no files. What it makes is on the disk.
void make_folder(const std::string& path);

// Renames PATH to PATH.1 (or .2, ..: the first that is free) and returns the new name.
std::string move_aside(const std::string& path);

}  // namespace poph
