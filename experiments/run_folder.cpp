#include "experiments/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/lock_file.h"
#include "experiments/model_file.h"
#include "tensor/file.h"

namespace poph {
namespace fs = std::filesystem;

namespace {
constexpr const char* lock_name = "run.lock";
}

void make_folder(const std::string& path) {
  const fs::path folder(path);
  std::error_code error;
  if (const fs::path above = folder.parent_path(); !above.empty() && !fs::exists(above, error)) make_folder(above.string());
  const bool made = fs::create_directory(folder, error);
  require(!error, "cannot make the folder ", path, ": ", error.message());
  if (made) sync_folder_of(folder.string());
  if (access(path.c_str(), W_OK) != 0) fail("cannot write into the folder ", path, ": ", std::strerror(errno));
}

RunFolder::RunFolder(const std::string& path, Use use) : path_(path) {
  if (use == Use::look) return;
  std::error_code ignored;
  require(!fs::exists(path, ignored) || fs::is_directory(path, ignored), path, " is in the way: expected a run folder");
  require(!fs::exists(path, ignored) || fs::is_empty(path, ignored) || fs::exists(file(lock_name), ignored) || fs::exists(file("config.toml"), ignored), path,
          " holds something else than a run of PopH: choose another --out or name");
  make_folder(path);
  lock_ = std::make_unique<LockFile>(file(lock_name));
  if (!lock_->take(0, LockFile::Kind::exclusive)) {
    const std::string holder = lock_->text();
    throw InUse(joined(path, " is in use by ", holder.empty() ? "another process" : holder, ": wait for it, or choose another --out or name"));
  }
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  lock_->write(joined("process ", getpid(), " on ", host));
  sync_folder_of(file(lock_name));  // what makes it a run folder
  make_folder(file("checkpoints"));
  make_folder(file("samples"));
  remove_temporaries(path);
  remove_temporaries(file("checkpoints"));
  cut_torn_line(file("log.txt"));
}

RunFolder::~RunFolder() = default;

bool RunFolder::held(const std::string& path) { return LockFile::held(path + "/" + lock_name); }

void RunFolder::require_there() const {
  require(lock_ && lock_->is_there(), "cannot write into the folder ", path_, ": it was removed or replaced while this run was at work");
}

bool RunFolder::has_config() const { return fs::exists(file("config.toml")); }
Config RunFolder::config() const { return parse_config(read_file(file("config.toml")), file("config.toml"), {}, bundled_corpus()); }
void RunFolder::write_config(const Config& config) const {
  require_there();
  write_file_durably(file("config.toml"), to_toml(config));
}

nlohmann::json RunFolder::run() const {
  if (!fs::exists(file("run.json"))) return nlohmann::json::object();
  nlohmann::json run = nlohmann::json::parse(read_file(file("run.json")), nullptr, false);
  require(run.is_object(), file("run.json"), ": not a JSON object as PopH writes it");
  return run;
}
void RunFolder::write_run(const nlohmann::json& run) const {
  require_there();
  using nlohmann::json;  // a command line may hold bytes that are no UTF-8
  write_file_durably(file("run.json"), run.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

void RunFolder::append_metrics(const std::vector<nlohmann::json>& lines) const {
  require_there();
  std::string text;
  using nlohmann::json;  // a piece's name may hold bytes that are no UTF-8
  for (const json& line : lines) text += line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  AppendFile metrics(file("metrics.jsonl"));
  metrics.append(text);
  metrics.sync();
}

double RunFolder::cut_metrics_after(int64_t step, int64_t epoch) const {
  if (!fs::exists(file("metrics.jsonl"))) return 0;
  const std::string text = read_file(file("metrics.jsonl"));
  std::string kept;
  double seconds = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin);
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    const auto number = [&](const char* key) {
      return parsed.is_object() && parsed.contains(key) && parsed[key].is_number_integer() ? parsed[key].get<int64_t>() : INT64_MAX;
    };
    const bool event = parsed.is_object() && parsed.contains("event");  // of a step within an epoch
    if (number("step") > step || (!event && number("epoch") > epoch)) continue;
    kept += line + "\n";
    if (parsed.contains("time_s") && parsed["time_s"].is_number()) seconds = std::max(seconds, parsed["time_s"].get<double>());
  }
  require_there();
  if (kept != text) write_file_durably(file("metrics.jsonl"), kept);
  return seconds;
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
