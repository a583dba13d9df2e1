#include "experiments/sweep/adopt.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "experiments/config/keys.h"
#include "experiments/run/same_run.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/corpus_settings.h"
#include "experiments/workspace/run_folder.h"

namespace poph {
namespace {

namespace fs = std::filesystem;

// The settings but for the places of music, of first weights and of the files of [generate].
std::string placeless_hash(Config config) {
  config.data.source = {std::string(bundled_source)};
  for (Style& style : config.data.styles) style.source = config.data.source;
  for (const GenerateFile& file : generate_files) (config.generate.*file.path).clear();
  if (!config.train.start_from.empty()) config.train.start_from = "x";
  return absolute_settings_hash(config);
}

// What is made of the music, not which music it is.
constexpr std::string_view windows_keys[] = {"data.windows", "data.window", "data.stride", "data.split",
                                             "data.transpose"};

// Fingerprints of the music of experiments, each read once.
class Fingerprints {
 public:
  // Empty: it cannot be read. The run itself will say why.
  const std::string& of_music(const Config& config) {
    std::string key;
    for (const KeyLine& line : key_lines(config))
      if ((line.key.starts_with("data.") || line.key.starts_with("model.styles")) &&
          !std::count(std::begin(windows_keys), std::end(windows_keys), line.key))
        key += line.key + " = " + line.value + "\n";
    const auto [place, is_new] = known_.try_emplace(key);
    if (is_new) {
      try {
        place->second = load_corpus(corpus_settings(config, 0)).fingerprint;
      } catch (const Error&) {
      }
    }
    return place->second;
  }

 private:
  std::map<std::string, std::string> known_;
};

// Whether a file of [generate] is the same. if_not_known: where the record does not tell.
bool same_file(size_t i, const Config& was, const RunRecord& record, const Config& now, bool if_not_known) {
  const std::string &before = was.generate.*generate_files[i].path, &path = now.generate.*generate_files[i].path;
  if (before == path) return true;
  if (!record.files[i]) return if_not_known;
  try {
    return record.files[i] == file_fingerprint(path);
  } catch (const Error&) {
    return false;
  }
}

bool same_start(const Config& was, const RunRecord& record, const Config& now) {
  if (was.train.start_from == now.train.start_from) return true;
  try {
    return record.start_from && record.start_from == weights_fingerprint(now.train.start_from);
  } catch (const Error&) {
    return false;
  }
}

// Whether their music lies in the same places.
bool same_places(const DataConfig& a, const DataConfig& b) {
  return a.source == b.source && std::equal(a.styles.begin(), a.styles.end(), b.styles.begin(), b.styles.end(),
                                            [](const Style& x, const Style& y) { return x.source == y.source; });
}

// Whether the folder's run is this one, where their settings are the same but for places.
bool holds(const std::string& folder, const SweepRun& run, Fingerprints& fingerprints, bool if_not_known) {
  try {
    const RunFolder there(folder, RunFolder::Use::look);
    if (!there.has_config()) return if_not_known;
    const Config was = there.config();
    const RunRecord record = there.record();
    for (size_t i = 0; i < generate_files.size(); ++i)
      if (!same_file(i, was, record, run.config, if_not_known)) return false;
    if (!same_start(was, record, run.config) && (record.start_from || !if_not_known)) return false;
    if (same_places(was.data, run.config.data)) return true;
    const std::string before = record.data ? record.data->fingerprint.value_or("") : "";
    const std::string& now = before.empty() ? before : fingerprints.of_music(run.config);
    return now.empty() ? if_not_known : before == now;
  } catch (const std::exception&) {  // damaged: the run itself will say so
    return if_not_known;
  }
}

// The folders that hold runs, by their settings; those in `taken` and those that --restart moved aside are left out.
std::multimap<std::string, std::string> folders_by_settings(const std::string& path, const std::set<std::string>& names,
                                                            const std::set<std::string>& taken) {
  std::multimap<std::string, std::string> folders;
  for (const std::string& name : names) {
    if (taken.contains(name)) continue;
    try {
      const RunFolder folder(path + "/" + name, RunFolder::Use::look);
      if (!folder.has_config()) continue;
      const Config config = folder.config();
      if (!is_moved_aside(name, config.name)) folders.emplace(placeless_hash(config), name);
    } catch (const std::exception&) {  // damaged, or of another version
    }
  }
  return folders;
}

}  // namespace

void adopt_folders(Sweep& sweep, const std::string& path) {
  std::set<std::string> names, taken;
  std::map<std::string, std::string> by_hash;  // in their names
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const std::string name = entry->path().filename().string();
    if (!entry->is_directory(ignored)) continue;
    names.insert(name);
    by_hash.emplace(name.substr(name.rfind('-') + 1), name);
  }
  if (names.empty()) return;

  Fingerprints fingerprints;
  std::vector<SweepRun*> without;
  const auto take = [&](SweepRun& run, const std::string& name) {
    run.config.name = run.id = name;
    taken.insert(name);
  };
  for (SweepRun& run : sweep.runs) {
    const std::string absolute = absolute_settings_hash(run.config);
    const auto found = by_hash.find(run.hash());
    if (found != by_hash.end() && holds(path + "/" + found->second, run, fingerprints, true)) {
      take(run, found->second);
      continue;
    }
    if (found != by_hash.end()) run.set_hash(absolute);  // that folder is another project's, written alike
    const auto earlier = by_hash.find(absolute);
    if (earlier != by_hash.end() && !taken.contains(earlier->second))
      take(run, earlier->second);
    else
      without.push_back(&run);
  }
  if (without.empty()) return;
  const auto by_settings = folders_by_settings(path, names, taken);
  for (SweepRun* run : without) {
    const auto [first, last] = by_settings.equal_range(placeless_hash(run->config));
    const auto own = std::find_if(first, last, [&](const auto& one) {
      return !taken.contains(one.second) && holds(path + "/" + one.second, *run, fingerprints, false);
    });
    if (own != last) take(*run, own->second);
  }
}

}  // namespace poph
