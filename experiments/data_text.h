#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/corpus.h"

// What is said of the music that was read, and of what was not.
namespace poph {

std::string reading_text(const ReadingProgress& progress);  // the line that is redrawn

// How many files were skipped and why, and which are damaged and were read nevertheless: each by itself, or if these are many by
// kind of fault, with how many there are and an example. Then what is to be said of archives and the cache.
std::vector<std::string> fault_lines(const Corpus& corpus, const std::string& indent);

// {"skipped": {kind: count, ..}, "damaged": {..}}
nlohmann::ordered_json faults_json(const Corpus& corpus);

// Every file that was skipped or is damaged, one JSON object a line: path, kind, reason, and whether it was read.
std::string fault_list(const Corpus& corpus);
void write_fault_list(const std::string& path, const Corpus& corpus);  // removes the file where there are none

}  // namespace poph
