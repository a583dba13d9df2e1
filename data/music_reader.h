#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/music_sources.h"

// Reads sources with several threads. What comes of them does not depend on the number of threads.
namespace poph {

// How far the reading is; files_in_all is 0 while it is not known: in an archive.
struct ReadingProgress {
  const char* what = "reading";  // or "checking": whether a cache has it
  std::string source;            // of an archive, its name; otherwise empty
  int64_t files = 0, files_in_all = 0;
  int64_t bytes = 0, bytes_in_all = 0;  // of an archive
};
using WatchReading = std::function<void(const ReadingProgress&)>;  // may throw to end it

struct ReadSettings {
  RollSettings roll;
  int64_t max_file_bytes = poph::max_file_bytes;
  int threads = 1;
  bool digests = false;  // of each file
  WatchReading watch;    // after each file, from the reading threads, one at a time
};

// Each source's pieces, in the order of its names; a chord file's in its own order. Error: a chord file that is malformed.
void read_files(const std::vector<Source*>& sources, const ReadSettings& settings);

// An archive's pieces, by name. One thread reads it from front to end, and decodes when the others are behind: so no more than
// `most_waiting_bytes` and a file for each thread are in memory beside the rolls.
inline constexpr int64_t most_waiting_bytes = int64_t{32} << 20;
void read_archive(Source& source, const ReadSettings& settings);

}  // namespace poph
