#pragma once
#include <optional>
#include <string>

#include "experiments/config/config.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/run_folder.h"

// Whether a folder holds the run that is asked for. A run is known by its settings and by the fingerprints of its music
// and of the weights it started from. Neither its name nor the places of its folder and these files count: folders are
// renamed, moved and mounted elsewhere.
namespace poph {

// Error: the run cannot go on with these settings; with the keys at fault. No other file is looked at.
void refuse_other_settings(const RunFolder& folder, const Config& config);
// Error: it was trained on music of another fingerprint.
void refuse_other_data(const RunFolder& folder, const std::string& fingerprint, const RunRecord& record);
// Error: train.start_from is another place than the run's, and the weights there are not those that it started from.
// The run's own place is not read again: what lies there may be gone by now.
void refuse_other_start(const RunFolder& folder, const Config& config, const RunRecord& record);

// Of a file that [generate] names; nothing where the path is empty.
std::optional<std::string> file_fingerprint(const std::string& path);
FileFingerprints file_fingerprints(const GenerateConfig& generate);
// Whether they differ in no more than the places of their music, of the weights they started from and of the files of
// [generate], where these are the same.
bool is_same_elsewhere(const Config& was, const FileFingerprints& files_were, const Config& now,
                       const FileFingerprints& files);

// A line where a run like the one that is to begin in `path` stands beside it: its folder may have been renamed.
void say_same_runs(const std::string& path, const Config& config, Progress& progress);

}  // namespace poph
