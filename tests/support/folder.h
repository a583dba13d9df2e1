#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

namespace poph::test {

// A folder that is gone after the test.
struct Folder {
  std::filesystem::path path;
  explicit Folder(const std::filesystem::path& place = std::filesystem::temp_directory_path())
      : path(place / ("poph_test_" + std::to_string(getpid()))) {
    clear();
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void clear() const {
    std::filesystem::remove_all(path);
    std::filesystem::create_directories(path);
  }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path)) found.insert(entry.path().filename().string());
    return found;
  }
};

inline void write_plainly(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace poph::test
