#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/music_sources.h"

namespace poph {

// What the system says of files without reading them.
struct FileStamps {
  std::string key;             // SHA-256 of every file's name, device, inode, size and times of change
  std::vector<int64_t> sizes;  // of each file; -1: it is not there
  int64_t bytes = 0;           // of all
  bool settled = false;        // nothing changed in the two seconds before: a change from now on will show
};

FileStamps stamps_of(const std::vector<std::string>& paths);

}  // namespace poph
