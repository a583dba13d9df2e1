#pragma once
#include <cstdint>
#include <string>
#include <vector>

// What the system says of files without reading them: enough to see that none has changed.
namespace poph {

struct FileStamps {
  std::string key;             // SHA-256 of every file's name, device, inode, size and times of change
  std::vector<int64_t> sizes;  // of each file; -1: it is not there
  int64_t bytes = 0;           // of all
  bool settled = false;        // nothing changed in the two seconds before: a change from now on will show
};

FileStamps stamp_files(const std::vector<std::string>& paths);

}  // namespace poph
