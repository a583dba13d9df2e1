#pragma once
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

// Whole files in and out. Errors are "cannot read PATH: No such file or directory", "cannot write PATH: No space left on device".
namespace poph {

// A system call, repeated where a signal (Ctrl-C is one that training survives) interrupted it before it did its work.
template <class Call>
auto retried(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

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
  void give_up();

  std::string path_, temporary_;
  int descriptor_ = -1;  // of the temporary file, locked while this process is at work on it
};

// A temporary file for another program to write to: locked as one that this process is at work on, for as long as this lives.
class LockedFile {
 public:
  explicit LockedFile(const std::string& temporary);  // made, or emptied
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

 private:
  int descriptor_ = -1;
};

// Removes the temporary files (NAME.tmp-..) that killed processes left in the folder; those that a process is at work on stay.
void remove_temporaries(const std::string& folder);

// A file that grows at its end. A full disk leaves no half of a line or record in it, for what append() cannot write whole it
// cuts off again; what a killed process left, cut_torn_line() does.
class AppendFile {
 public:
  explicit AppendFile(const std::string& path);  // made where it is not there
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view bytes);  // all of them, or Error
  void sync();                          // all that was appended is on the disk, and so is the file's name

 private:
  std::string path_;
  int descriptor_ = -1;
  bool named_ = false;  // on the disk
};

void cut_torn_line(const std::string& path);  // what follows the file's last line break; nothing where there is no such file

void sync_file(const std::string& path);       // for a file that another program wrote
void sync_folder_of(const std::string& path);  // makes renames, links and removals beside PATH durable

void remove_folder(const std::string& path);  // with all in it; nothing where there is none
// Renames the folder FROM, whose files are on the disk, to TO; what was there is removed first.
void replace_folder(const std::string& from, const std::string& to);

}  // namespace poph
