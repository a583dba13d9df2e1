#include "experiments/workspace/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/files/file.h"
#include "data/files/json_text.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/lock_file.h"

namespace poph {
namespace fs = std::filesystem;

namespace {
constexpr const char* lock_name = "run.lock";
}

void make_folder(const std::string& path) {
  const fs::path folder(path);
  std::error_code error;
  if (const fs::path above = folder.parent_path(); !above.empty() && !fs::exists(above, error))
    make_folder(above.string());
  const bool made = fs::create_directory(folder, error);
  require(!error, "cannot make the folder ", path, ": ", error.message());
  if (made) sync_parent_folder(folder.string());
  if (access(path.c_str(), W_OK) != 0) fail("cannot write into the folder ", path, ": ", std::strerror(errno));
}

RunFolder::RunFolder(const std::string& path, Use use) : path_(path) {
  if (use == Use::look) return;
  std::error_code ignored;
  require(!fs::exists(path, ignored) || fs::is_directory(path, ignored), path, " is in the way: expected a run folder");
  require(!fs::exists(path, ignored) || fs::is_empty(path, ignored) || fs::exists(file(lock_name), ignored) ||
              fs::exists(file("config.toml"), ignored),
          path, " holds something else than a run of PopH: choose another --out or name");
  make_folder(path);
  lock_ = std::make_unique<LockFile>(file(lock_name));
  if (!lock_->take(0, LockFile::Kind::exclusive)) {
    const std::string holder = lock_->text();
    throw InUse(joined(path, " is in use by ", holder.empty() ? "another process" : holder,
                       ": wait for it, or choose another --out or name"));
  }
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  lock_->write(joined("process ", getpid(), " on ", host));
  sync_parent_folder(file(lock_name));  // by its lock file the folder is a run's
  make_folder(file("checkpoints"));
  make_folder(file("samples"));
  remove_temporaries(path);
  remove_temporaries(file("checkpoints"));
  cut_torn_line(file("log.txt"));
}

RunFolder::~RunFolder() = default;

bool RunFolder::held(const std::string& path) { return LockFile::held(path + "/" + lock_name); }

std::vector<std::string> RunFolder::same_runs_beside(const std::string& path, const Config& config) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry(fs::path(path).parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string other = (fs::path(path).parent_path() / entry->path().filename()).string();
    try {
      const RunFolder run(other, Use::look);
      if (other == path || !run.has_config() || !differing_keys(run.config(), config).empty()) continue;
      run.record();  // it can be read
      found.push_back(other);
    } catch (const std::exception&) {  // damaged, or not ours
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

void RunFolder::require_there() const {
  require(lock_ && lock_->is_there(), "cannot write into the folder ", path_,
          ": it was removed or replaced while this run was at work");
}

bool RunFolder::has_config() const {
  std::error_code ignored;
  return fs::exists(file("config.toml"), ignored);
}
Config RunFolder::config() const { return load_saved_config(file("config.toml"), bundled_corpus()); }
void RunFolder::write_config(const Config& config) const {
  require_there();
  write_file_durably(file("config.toml"), to_toml(config, path_));
}

RunRecord RunFolder::record() const {
  if (!fs::exists(file("run.json"))) return {};
  return parse_run_record(read_file(file("run.json")), file("run.json"));
}
void RunFolder::write_record(const RunRecord& record) const {
  require_there();
  write_file_durably(file("run.json"), run_record_text(record));
}

void RunFolder::append_metrics(const std::vector<nlohmann::json>& lines) const {
  require_there();
  std::string text;
  for (const nlohmann::json& line : lines) text += json_text(line) + "\n";
  AppendFile metrics(file("metrics.jsonl"));
  metrics.append(text);
  metrics.sync();
}

double RunFolder::cut_metrics_after(int64_t step, int64_t epoch) const {
  if (!fs::exists(file("metrics.jsonl"))) return 0;
  const std::string text = read_file(file("metrics.jsonl"));
  std::string left;
  double seconds = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin);
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    const auto number = [&](const char* key) {
      return parsed.is_object() && parsed.contains(key) && parsed[key].is_number_integer() ? parsed[key].get<int64_t>()
                                                                                           : INT64_MAX;
    };
    const bool event = parsed.is_object() && parsed.contains("event");  // of a step, before the end of its epoch
    if (number("step") > step || (!event && number("epoch") > epoch)) continue;
    left += line + "\n";
    if (parsed.contains("time_s") && parsed["time_s"].is_number())
      seconds = std::max(seconds, parsed["time_s"].get<double>());
  }
  require_there();
  if (left != text) write_file_durably(file("metrics.jsonl"), left);
  return seconds;
}

bool is_moved_aside(const std::string& folder_name, const std::string& run_name) {
  return folder_name.size() > run_name.size() + 1 && folder_name.starts_with(run_name + ".") &&
         folder_name.find_first_not_of("0123456789", run_name.size() + 1) == std::string::npos;
}

std::string move_aside(const std::string& path) {
  for (int number = 1;; ++number) {
    const std::string aside = joined(path, ".", number);
    if (fs::exists(aside)) continue;
    std::error_code error;
    fs::rename(path, aside, error);
    require(!error, "cannot move ", path, " to ", aside, ": ", error.message());
    return aside;
  }
}

}  // namespace poph
