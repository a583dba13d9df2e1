#include "experiments/workspace/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace poph {
namespace {

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max();

// The number behind a word of such a file: "MemAvailable:  123 kB"; without a word the first one of the file.
std::optional<int64_t> number_in(const char* path, const std::string& word = "") {
  std::ifstream file(path);
  int64_t number = 0;
  if (word.empty()) return file >> number ? std::optional(number) : std::nullopt;
  for (std::string found; file >> found;)
    if (found == word && file >> number) return number;
  return {};
}

int64_t of_machine() {
  const auto kilobytes = number_in("/proc/meminfo", "MemAvailable:");
  return kilobytes ? *kilobytes * 1024 : unlimited;
}

int64_t of_container() {  // cgroup 2; "max" is no number
  const auto limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  if (!limit || !used) return unlimited;
  int64_t cached = 0;  // pages of files, which make room
  for (const char* word : {"inactive_file", "active_file"})
    cached += number_in("/sys/fs/cgroup/memory.stat", word).value_or(0);
  return *limit - *used + cached;
}

int64_t of_process() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unlimited;
  const auto pages = number_in("/proc/self/statm");
  return static_cast<int64_t>(limit.rlim_cur) - pages.value_or(0) * sysconf(_SC_PAGESIZE);
}

}  // namespace

int64_t free_memory() { return std::max<int64_t>(0, std::min({of_machine(), of_container(), of_process()})); }

}  // namespace poph
