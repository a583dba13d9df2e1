#pragma once
#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"

// Files and folders on the disk, so that what is written is whole or not there, whatever ends the process or the
// machine. Every function here throws FileError.
namespace poph {

// "cannot read PATH: No such file or directory", "cannot write PATH: No space left on device".
struct FileError : Error {
  FileError(const char* action, const std::string& path, int code, const std::string& reason)
      : Error(joined("cannot ", action, " ", path, ": ", reason)), code(code), reason(reason) {}

  int code;            // of errno: ENOENT, EISDIR, .., EFBIG for a file above the limit; 0 where the system has none
  std::string reason;  // what() without action and path
};

// A system call, repeated where a signal (Ctrl-C is one that training survives) interrupted it before it did its work.
template <class Call>
auto retried(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// A path as a shell has it: "~" and "~/music" lie in the user's folder, $HOME. A folder of that name is "./~".
std::string with_home(const std::string& path);

// A regular file, read by position. Folders, pipes and devices are refused; a pipe's writer is not waited for.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }
  void read(uint64_t offset, void* to, uint64_t bytes) const;  // all of them, or FileError

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// All bytes of a regular file.
inline constexpr uint64_t max_read_bytes = uint64_t{1} << 30;
std::string read_file(const std::string& path, uint64_t max_bytes = max_read_bytes);

// The same in the buffer of a reader of many files, which only grows.
std::span<const uint8_t> read_file(const std::string& path, std::vector<uint8_t>& buffer,
                                   uint64_t max_bytes = max_read_bytes);

// Replaces the file in one step: a reader finds all of the old bytes or all of the new ones, after a power cut too. On
// an error the old file is as it was and nothing else is left behind. The folder must exist.
void write_file_durably(const std::string& path, std::string_view bytes);

// The two halves of write_file_durably, for files that must be on disk together before any of them takes its place: the
// constructor stores the bytes in PATH.tmp-PID-N, commit() renames that to PATH, and without a commit() it is removed.
class PendingFile {
 public:
  PendingFile(const std::string& path, std::string_view bytes);
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  void commit();
  // Takes this name, which may be another one in the same folder, where no file has it. False: one has.
  bool commit_new(const std::string& path);

 private:
  void give_up();

  std::string path_, temporary_;
  int descriptor_ = -1;  // of the temporary file, locked while this process works on it
};

// A temporary file for another program to write to. While this lives it is locked, as any that this process works on.
class LockedFile {
 public:
  explicit LockedFile(const std::string& temporary);  // made, or emptied
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

 private:
  int descriptor_ = -1;
};

// Removes the temporary files (NAME.tmp-..) that killed processes left in the folder. Those that a process works on
// stay.
void remove_temporaries(const std::string& folder);

// A file that grows at its end. Where a full disk lets append() write but a part of a line or record, it cuts that part
// off again; cut_torn_line() cuts off what a killed process left.
class AppendFile {
 public:
  explicit AppendFile(const std::string& path);  // made where it is not there
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  void append(std::string_view bytes);  // all of them, or Error
  void sync();                          // puts all that was appended on the disk, and the file's name

 private:
  std::string path_;
  int descriptor_ = -1;
  bool named_ = false;  // its name is on the disk
};

// Cuts off all that follows the file's last line break. Does nothing where there is no such file.
void cut_torn_line(const std::string& path);

void sync_file(const std::string& path);           // for a file that another program wrote
void sync_parent_folder(const std::string& path);  // makes renames, links and removals beside PATH durable

void remove_folder(const std::string& path);  // with all in it; nothing where there is none
// Renames the folder FROM, whose files are on the disk, to TO; what was there is removed first.
void replace_folder(const std::string& from, const std::string& to);

}  // namespace poph
