#include "experiments/sweep_folder.h"

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "experiments/run_folder.h"
#include "tensor/file.h"

namespace poph {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* lock_name = "sweep.lock";
constexpr int list_byte = 0,
              index_byte = 1;  // who holds the first keeps the list of runs as it is; the second is for writing the index

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
  Json line{
      {"id", run.id}, {"label", run.label}, {"settings", Json::object()}, {"seed", run.config.seed}, {"status", state.status}};
  for (const auto& [key, value] : run.settings) line["settings"][key] = json_of(value);
  if (!state.error.empty()) line["error"] = state.error;
  line["seconds"] = state.seconds;
  line["autoregressive"] = run.config.model.autoregressive();
  if (run.baseline) line["baseline"] = true;
  return line;
}

// The runs that the folder's index lists now.
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
  require(!fs::exists(path, ignored) || fs::is_directory(path, ignored), path, " is in the way: expected a sweep's folder");
  require(!fs::exists(path, ignored) || fs::is_empty(path, ignored) || fs::exists(path + "/" + lock_name, ignored), path,
          " holds something else than a sweep of PopH: choose another --out or name");
  make_folder(path);
  return path;
}

}  // namespace

RunState state_of(const std::string& run_folder) {
  RunState state;
  const bool held = RunFolder::held(run_folder);
  nlohmann::json run;
  try {
    run = RunFolder(run_folder, RunFolder::Use::look).run();
    state.status = run.value("status", "pending");
    state.seconds = run.value("training_seconds", 0.0);
    if (run.contains("best")) state.best_loss = run["best"].at("loss").get<double>();
    if (state.broken()) state.error = run.value("error", "");
  } catch (const std::exception& error) {  // damaged: the others can still be told apart
    state.status = "failed";
    state.error = error.what();
  }
  if (held && state.status != "finished") {
    state.status = "running";
    state.error.clear();
  } else if (state.status == "running") {
    state.status = "interrupted";  // its process is gone
  }
  return state;
}

void adopt_folders(Sweep& sweep, const std::string& path) {
  std::map<std::string, std::string> folders;  // by hash
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory(error)) folders.emplace(name.substr(name.rfind('-') + 1), name);
  }
  for (SweepRun& run : sweep.runs)
    if (const auto found = folders.find(run.hash()); found != folders.end()) run.config.name = run.id = found->second;
}

SweepFolder::SweepFolder(const std::string& path, Sweep& sweep)
    : path_(checked_folder(path)), sweep_(sweep), lock_(path + "/" + lock_name) {
  adopt_folders(sweep, path);
  const std::string index = path + "/index.jsonl";
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (lock_.take(list_byte, LockFile::Kind::exclusive)) {  // nobody else is here
      sync_folder_of(path + "/" + lock_name);  // what makes it a sweep's folder
      remove_temporaries(path);
      cut_torn_line(path + "/log.txt");
      const std::string text = path + "/sweep.toml";
      if (!fs::exists(text) || read_file(text) != sweep.text) write_file_durably(text, sweep.text);
      write_index();
      lock_.take(list_byte, LockFile::Kind::shared);
      return;
    }
    if (lock_.take(list_byte, LockFile::Kind::shared)) {
      if (same_list(sweep, index)) return;
      fail(path, " is in use by a process with other settings of this sweep: wait for it, or choose another --out or name");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // someone else is just opening it
  }
  fail(path, " is in use by a process that does not go on: sweep.lock is held");
}

void SweepFolder::refuse_use(const std::string& path) {
  require(!LockFile::held(path + "/" + lock_name, list_byte), path,
          " is in use by another process: wait for it, or choose another --out or name");
}

RunState SweepFolder::state(const SweepRun& run) const {
  RunState state = state_of(run_folder(run));
  if (begun_.count(run.id) && state.status != "finished") {
    state.status = "running";
    state.error.clear();
  }
  const auto unwritten = unwritten_.find(run.id);
  if (unwritten != unwritten_.end() && state.status != "finished" && state.status != "running") {
    state.status = "failed";
    state.error = unwritten->second;
  }
  return state;
}

void SweepFolder::note_begin(const SweepRun& run) {
  begun_.insert(run.id);
  unwritten_.erase(run.id);
}

void SweepFolder::note_failure(const SweepRun& run, const std::string& error) {
  try {
    require_there();
    const RunFolder folder(run_folder(run));
    nlohmann::json about = folder.run();
    if (about.value("status", "") == "finished") return;
    about["status"] = error.starts_with("training diverged") ? "diverged" : "failed";
    about["error"] = error;
    folder.write_run(about);
  } catch (const std::exception&) {  // the disk may be what failed
    unwritten_[run.id] = error;
  }
}

void SweepFolder::require_there() const {
  require(lock_.is_there(), "cannot write into the folder ", path_, ": it was removed or replaced while this sweep was at work");
}

void SweepFolder::write_index() const {
  require_there();
  lock_.take(index_byte, LockFile::Kind::exclusive, LockFile::Wait::yes);  // who writes last has seen most
  struct Release {
    LockFile& lock;
    ~Release() { lock.release(index_byte); }
  } release{lock_};
  std::string text;
  for (const SweepRun& run : sweep_.runs)
    text += index_line(run, state(run)).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  write_file_durably(path_ + "/index.jsonl", text);
}

}  // namespace poph
