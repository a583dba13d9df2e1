#pragma once
#include <cstdint>
#include <string>
#include <string_view>

// Whole files in and out. Errors are "cannot read PATH: No such file or directory", "cannot write PATH: No space left on device".
namespace poph {

// A regular file, read by position. Folders, pipes and devices are refused, a pipe without waiting for its writer.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }
  void read(uint64_t offset, void* to, uint64_t bytes) const;  // all of them, or Error

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

std::string read_file(const std::string& path, uint64_t most_bytes = uint64_t{1} << 30);

// Replaces the file in one step: whoever reads it, after a power cut too, finds all of the old bytes or all of the new ones.
// On Error the old file is as it was and nothing else is left behind. The folder must exist.
void write_file_durably(const std::string& path, std::string_view bytes);

// The two halves of write_file_durably, for files that must be on disk together before any of them takes its place:
// the constructor stores the bytes in PATH.tmp-PID-N, commit() renames that to PATH, and without a commit() it is removed.
class PendingFile {
 public:
  PendingFile(const std::string& path, std::string_view bytes);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  void commit();

 private:
  std::string path_, temporary_;
  bool pending_ = true;
};

void sync_folder_of(const std::string& path);  // makes renames, links and removals beside PATH durable

}  // namespace poph
