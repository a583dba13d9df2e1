#include "experiments/sweep/folder.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/files/file.h"
#include "data/files/json_text.h"
#include "experiments/sweep/adopt.h"
#include "experiments/workspace/run_folder.h"

namespace poph {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* lock_name = "sweep.lock";
constexpr int list_byte = 0;   // shared by all that work on one list of runs
constexpr int index_byte = 1;  // exclusive while the index is written

Json json_of(const Value& value) {
  switch (value.type) {
    case Value::Type::boolean:
      return value.boolean;
    case Value::Type::integer:
      return value.integer;
    case Value::Type::real:
      return value.real;
    case Value::Type::text:
      return value.text;
    case Value::Type::array: {
      Json list = Json::array();
      for (const Value& item : value.items) list.push_back(json_of(item));
      return list;
    }
    default: {
      Json table = Json::object();
      for (size_t i = 0; i < value.items.size(); ++i) table[value.keys[i]] = json_of(value.items[i]);
      return table;
    }
  }
}

Json index_line(const SweepRun& run, const RunState& state) {
  Json line{{"id", run.id},
            {"label", run.label},
            {"settings", Json::object()},
            {"seed", run.config.seed},
            {"status", status_name(state.status)}};
  for (const auto& [key, value] : run.settings) line["settings"][key] = json_of(value);
  if (!state.error.empty()) line["error"] = state.error;
  line["seconds"] = state.seconds;
  line["autoregressive"] = run.config.model.autoregressive();
  if (run.baseline) line["baseline"] = true;
  return line;
}

// The ids that an index lists.
std::vector<std::string> listed_runs(const std::string& index) {
  std::vector<std::string> ids;
  if (!fs::exists(index)) return ids;
  const std::string text = read_file(index);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const Json line = Json::parse(text.substr(begin, end - begin), nullptr, false);
    ids.push_back(line.is_object() ? line.value("id", "") : "");
  }
  return ids;
}

bool same_list(const Sweep& sweep, const std::string& index) {
  std::vector<std::string> ids;
  for (const SweepRun& run : sweep.runs) ids.push_back(run.id);
  return ids == listed_runs(index);
}

std::string checked_folder(const std::string& path) {
  std::error_code ignored;
  require(!fs::exists(path, ignored) || fs::is_directory(path, ignored), path,
          " is in the way: expected a sweep's folder");
  require(!fs::exists(path, ignored) || fs::is_empty(path, ignored) || fs::exists(path + "/" + lock_name, ignored),
          path, " holds something else than a sweep of PopH: choose another --out or name");
  make_folder(path);
  return path;
}

}  // namespace

RunState state_of(const std::string& run_folder) {
  RunState state;
  const bool held = RunFolder::held(run_folder);
  try {
    const RunRecord run = RunFolder(run_folder, RunFolder::Use::look).record();
    state.status = run.status;
    state.seconds = run.training_seconds.value_or(0);
    if (run.best) state.best_loss = run.best->loss;
    if (state.broken()) state.error = run.error.value_or("");
  } catch (const std::exception& error) {  // a damaged run.json is the failure of this run alone
    state.status = RunStatus::failed;
    state.error = error.what();
  }
  if (held && !state.finished()) {
    state.status = RunStatus::running;
    state.error.clear();
  } else if (state.running()) {
    state.status = RunStatus::interrupted;  // its process is gone
  }
  return state;
}

SweepFolder::SweepFolder(const std::string& path, Sweep& sweep)
    : path_(checked_folder(path)), sweep_(sweep), lock_(path + "/" + lock_name) {
  adopt_folders(sweep, path);
  const std::string index = path + "/index.jsonl";
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (lock_.take(list_byte, LockFile::Kind::exclusive)) {  // nobody else is here
      sync_parent_folder(path + "/" + lock_name);            // by its lock file the folder is a sweep's
      remove_temporaries(path);
      cut_torn_line(path + "/log.txt");
      const std::string file = path + "/sweep.toml", text = sweep.text(path);
      if (!fs::exists(file) || read_file(file) != text) write_file_durably(file, text);
      write_index();
      lock_.take(list_byte, LockFile::Kind::shared);
      return;
    }
    if (lock_.take(list_byte, LockFile::Kind::shared)) {
      if (same_list(sweep, index)) return;
      fail(path,
           " is in use by a process with other settings of this sweep: wait for it, or choose another --out or name");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // another process is opening it
  }
  fail(path, " is in use by a process that hangs: sweep.lock is held");
}

void SweepFolder::refuse_use(const std::string& path) {
  require(!LockFile::held(path + "/" + lock_name, list_byte), path,
          " is in use by another process: wait for it, or choose another --out or name");
}

RunState SweepFolder::state(const SweepRun& run) const {
  RunState state = state_of(run_folder(run));
  if (started_.count(run.id) && !state.finished()) {
    state.status = RunStatus::running;
    state.error.clear();
  }
  const auto unwritten = unwritten_.find(run.id);
  if (unwritten != unwritten_.end() && !state.finished() && !state.running()) {
    state.status = unwritten->second.status;
    state.error = unwritten->second.error;
  }
  return state;
}

void SweepFolder::note_start(const SweepRun& run) {
  started_.insert(run.id);
  unwritten_.erase(run.id);
}

void SweepFolder::note_failure(const SweepRun& run, RunStatus status, const std::string& error) {
  try {
    require_there();
    const RunFolder folder(run_folder(run));
    RunRecord record = folder.record();
    if (record.finished()) return;
    record.status = status;
    record.error = error;
    folder.write_record(record);
  } catch (const std::exception&) {  // the disk may be what failed
    unwritten_[run.id] = {status, error};
  }
}

void SweepFolder::require_there() const {
  require(lock_.is_there(), "cannot write into the folder ", path_,
          ": it was removed or replaced while this sweep was at work");
}

void SweepFolder::write_index() const {
  require_there();
  // The lock is taken before the states are read: so the last to write has seen the latest.
  lock_.take(index_byte, LockFile::Kind::exclusive, LockFile::Wait::yes);
  struct Release {
    LockFile& lock;
    ~Release() { lock.release(index_byte); }
  } release{lock_};
  std::string text;
  for (const SweepRun& run : sweep_.runs) text += json_text(index_line(run, state(run))) + "\n";
  write_file_durably(path_ + "/index.jsonl", text);
}

}  // namespace poph
