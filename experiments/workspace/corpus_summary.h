#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/reading/corpus.h"
#include "experiments/config/settings.h"
#include "experiments/workspace/run_record.h"

// A corpus in words: how far the reading is, and which files were skipped or are damaged.
namespace poph {

std::string reading_text(const ReadingProgress& progress);  // for Progress::live

// A line for each file that was skipped, or is damaged and was read nevertheless; where these are many, a line for each
// kind of damage with a count and an example. Then the remarks about archives and the cache.
std::vector<std::string> damage_lines(const Corpus& corpus, const std::string& indent);

// What of a corpus is left out, in all, and damage_lines() behind it; no line where nothing is.
std::vector<std::string> left_out_lines(const Corpus& corpus, const DataConfig& data);

// How much there is of each style, in their order; a piece that trains and validates has its steps counted once.
std::vector<StyleDataRecord> style_records(const Corpus& corpus);

// {"skipped": {kind: count, ..}, "damaged": {..}}
nlohmann::ordered_json damage_json(const Corpus& corpus);

// Every file that was skipped or is damaged, one JSON object a line; a run's folder has it as skipped.jsonl:
//   {"path": "lmd/0/0a.mid", "kind": "division 0", "reason": "midi: byte 12: found division 0, ..", "read": false}
std::string damage_list(const Corpus& corpus);
void write_damage_list(const std::string& path, const Corpus& corpus);  // removes the file where there are none

}  // namespace poph
