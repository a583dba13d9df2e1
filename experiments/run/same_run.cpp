#include "experiments/run/same_run.h"

#include <fmt/format.h>

#include <filesystem>

#include "data/files/file.h"
#include "data/files/hash.h"
#include "experiments/workspace/checkpoints.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr const char* how_else = "; name=OTHER begins a run of its own beside it";

// Why more epochs or more patience are another training.
std::string schedule_text(const Config& was, const Config& now) {
  if (was.train.schedule == Schedule::cosine && was.train.epochs != now.train.epochs)
    return "; the learning rates of train.schedule = \"cosine\" depend on train.epochs";
  if (was.train.schedule == Schedule::plateau && was.train.patience != now.train.patience)
    return "; the learning rates of train.schedule = \"plateau\" depend on train.patience";
  return "";
}

// Where the music and the first weights lie is no setting: their fingerprints tell whether they are the same
// (refuse_other_data, refuse_other_start).
KeyFilter is_place(const Config& was, const Config& now) {
  const bool both_start = !was.train.start_from.empty() && !now.train.start_from.empty();
  return [both_start](std::string_view key) {
    const bool music = key == "data.source" || key.starts_with("model.styles[");
    return music || (both_start && key == "train.start_from");
  };
}

}  // namespace

void refuse_other_settings(const RunFolder& folder, const Config& config) {
  const Config was = folder.config();
  const KeyFilter place = is_place(was, config), may_change = may_change_on_resume(was, config);
  std::string changes;
  for (const std::string& key :
       differing_keys(was, config, [&](std::string_view key) { return place(key) || may_change(key); }))
    changes += "; " + key;
  require(changes.empty(), folder.path(), " was started with other settings", changes, schedule_text(was, config),
          how_else);
}

void refuse_other_data(const RunFolder& folder, const std::string& fingerprint, const RunRecord& record) {
  const std::string before = record.data ? record.data->fingerprint.value_or(fingerprint) : fingerprint;
  require(before == fingerprint, folder.path(), " was started with other data (fingerprint ", before, ", now ",
          fingerprint, ")", how_else);
}

void refuse_other_start(const RunFolder& folder, const Config& config, const RunRecord& record) {
  const std::string &before = folder.config().train.start_from, &now = config.train.start_from;
  if (now == before || now.empty() || !record.start_from) return;
  std::string found;
  try {
    found = weights_fingerprint(now);
  } catch (const Error& error) {
    fail("train.start_from: ", error.what());
  }
  require(found == *record.start_from, folder.path(), " was started from other weights (fingerprint ",
          *record.start_from, ", now ", found, ")", how_else);
}

std::optional<std::string> file_fingerprint(const std::string& path) {
  if (path.empty()) return std::nullopt;
  return hex_digits(content_hash(read_file(path)));
}

FileFingerprints file_fingerprints(const GenerateConfig& generate) {
  FileFingerprints found;
  for (size_t i = 0; i < found.size(); ++i) found[i] = file_fingerprint(generate.*generate_files[i].path);
  return found;
}

bool is_same_elsewhere(const Config& was, const FileFingerprints& files_were, const Config& now,
                       const FileFingerprints& files) {
  const KeyFilter place = is_place(was, now);
  const auto same_file = [&](std::string_view key) {
    for (size_t i = 0; i < files.size(); ++i)
      if (key == generate_files[i].key) return files[i] && files[i] == files_were[i];
    return false;
  };
  return differing_keys(was, now, [&](std::string_view key) { return place(key) || same_file(key); }).empty();
}

void say_same_runs(const std::string& path, const Config& config, Progress& progress) {
  const std::vector<std::string> same = RunFolder::same_runs_beside(path, config);
  if (same.empty()) return;
  const RunRecord record = RunFolder(same[0], RunFolder::Use::look).record();
  progress.line(
      fmt::format("{} holds a run with these settings and this seed ({} after {} epochs): name={} goes on "
                  "with it, and this begins a new one{}",
                  same[0], status_name(record.status), record.epochs.value_or(0),
                  std::filesystem::path(same[0]).filename().string(),
                  same.size() > 1 ? fmt::format("; {} more folders hold such a run", same.size() - 1) : ""));
}

}  // namespace poph
