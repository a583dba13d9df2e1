#include "data/reading/stamps.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "data/files/sha256.h"

namespace poph {
namespace {

// the coarsest clock of a disk that is in use (FAT); others tick in milliseconds
constexpr int64_t settling_ns = 2'000'000'000;

int64_t ns(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

FileStamps stamp_files(const std::vector<std::string>& paths) {
  FileStamps stamps;
  Sha256 sha256;
  const int64_t now =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  int64_t newest = 0;
  for (const std::string& path : paths) {
    struct stat about {};
    const bool there = stat(path.c_str(), &about) == 0;
    const int64_t size = there ? about.st_size : -1;
    const std::array<int64_t, 5> stamp = {static_cast<int64_t>(about.st_dev), static_cast<int64_t>(about.st_ino), size,
                                          ns(about.st_mtim), ns(about.st_ctim)};
    sha256.add(path);
    sha256.add(stamp.data(), sizeof stamp);
    stamps.sizes.push_back(size);
    stamps.bytes += std::max<int64_t>(0, size);
    newest = std::max(newest, ns(about.st_ctim));
    if (ns(about.st_mtim) <= now) newest = std::max(newest, ns(about.st_mtim));  // archives hold times to come
  }
  stamps.key = sha256.finish();
  stamps.settled = newest < now - settling_ns;
  return stamps;
}

}  // namespace poph
