#include "data/files/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

namespace poph {
namespace {

constexpr uint64_t max_bytes_per_call = uint64_t{1} << 30;  // Linux transfers at most 2 GiB in one call

[[noreturn]] void fail_to(const char* action, const std::string& path, int error = errno) {
  throw FileError(action, path, error, std::generic_category().message(error));
}

// NAME.tmp-PID-COUNT, or NAME.tmp-PID.ENDING where a program wants its own ending.
constexpr const char* temporary_mark = ".tmp-";

bool is_temporary(const std::string& name) {
  const size_t mark = name.rfind(temporary_mark);
  if (mark == std::string::npos || mark == 0) return false;
  const char* const digits = "0123456789";
  const size_t number = mark + std::strlen(temporary_mark), end = name.find_first_not_of(digits, number);
  if (end == std::string::npos || end == number) return false;
  return name[end] == '.' ||
         (name[end] == '-' && end + 1 < name.size() && name.find_first_not_of(digits, end + 1) == std::string::npos);
}

// False, with errno, where some of the bytes were not written.
bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        retried([&] { return write(descriptor, bytes.data(), std::min(bytes.size(), max_bytes_per_call)); });
    if (written <= 0) {
      if (written == 0) errno = EIO;
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// -1, with errno, where it cannot be made. On a disk without locks remove_temporaries leaves all files alone.
int open_locked(const std::string& temporary) {
  for (int tries = 0; tries < 1000; ++tries) {
    const int file =
        retried([&] { return open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666); });
    if (file < 0) return file;
    // remove_temporaries of another process may have removed it before it was locked, or holds it to remove it.
    struct stat own, there;
    const bool locked = flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && fstat(file, &own) == 0 && stat(temporary.c_str(), &there) == 0 && own.st_ino == there.st_ino)
      return file;
    close(file);
  }
  errno = EWOULDBLOCK;
  return -1;
}

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

void require_size(const InputFile& file, const std::string& path, uint64_t max_bytes) {
  if (file.size() > max_bytes)
    throw FileError("read", path, EFBIG, joined("it has ", file.size(), " bytes, expected at most ", max_bytes));
}

const char* kind_of(mode_t mode) { return S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device"; }

}  // namespace

std::string with_home(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const char* home = std::getenv("HOME");
  if (!home || !*home) throw FileError("read", path, 0, "~ is the folder that $HOME names, which is not set");
  return home + path.substr(1);
}

InputFile::InputFile(const std::string& path) : path_(path) {
  Descriptor file{retried([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); })};
  if (file.number < 0) fail_to("read", path);
  struct stat about;
  if (fstat(file.number, &about) != 0) fail_to("read", path);
  if (S_ISDIR(about.st_mode)) fail_to("read", path, EISDIR);
  if (!S_ISREG(about.st_mode)) throw FileError("read", path, 0, joined(kind_of(about.st_mode), ", not a regular file"));
  size_ = static_cast<uint64_t>(about.st_size);
  std::swap(descriptor_, file.number);
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::read(uint64_t offset, void* to, uint64_t bytes) const {
  for (uint64_t done = 0; done < bytes;) {
    const size_t wanted = std::min(bytes - done, max_bytes_per_call);
    const ssize_t got = retried(
        [&] { return pread(descriptor_, static_cast<char*>(to) + done, wanted, static_cast<off_t>(offset + done)); });
    if (got < 0) fail_to("read", path_);
    if (got == 0)
      throw FileError("read", path_, 0, joined("it ends at byte ", offset + done, ", expected ", offset + bytes));
    done += static_cast<uint64_t>(got);
  }
}

std::string read_file(const std::string& path, uint64_t max_bytes) {
  const InputFile file(path);
  require_size(file, path, max_bytes);
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

std::span<const uint8_t> read_file(const std::string& path, std::vector<uint8_t>& buffer, uint64_t max_bytes) {
  const InputFile file(path);
  require_size(file, path, max_bytes);
  if (buffer.size() < file.size()) buffer.resize(file.size());
  file.read(0, buffer.data(), file.size());
  return {buffer.data(), file.size()};
}

void sync_parent_folder(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const Descriptor folder{
      retried([&] { return open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); })};
  if (folder.number < 0) fail_to("write", path);
  const int status = retried([&] { return fsync(folder.number); });
  // some network disks cannot sync a folder
  if (status != 0 && errno != EINVAL && errno != ENOTSUP) fail_to("write", path);
}

LockedFile::LockedFile(const std::string& temporary) : descriptor_(open_locked(temporary)) {
  if (descriptor_ < 0) fail_to("write", temporary);
}

LockedFile::~LockedFile() { close(descriptor_); }

PendingFile::PendingFile(const std::string& path, std::string_view bytes) : path_(path) {
  static std::atomic<int> count = 0;
  temporary_ = joined(path, temporary_mark, getpid(), "-", count++);
  descriptor_ = open_locked(temporary_);
  if (descriptor_ < 0) fail_to("write", path);
  if (!write_all(descriptor_, bytes) || retried([&] { return fsync(descriptor_); }) != 0) {
    const int error = errno;  // give_up may change it
    give_up();
    fail_to("write", path, error);
  }
}

PendingFile::~PendingFile() {
  if (descriptor_ >= 0) give_up();
}

void PendingFile::give_up() {
  unlink(temporary_.c_str());
  close(std::exchange(descriptor_, -1));
}

void PendingFile::commit() {
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_to("write", path_);
  close(std::exchange(descriptor_, -1));
  sync_parent_folder(path_);
}

bool PendingFile::commit_new(const std::string& path) {
  // A second name is made only where there is none, in one step. Some disks know no second names.
  if (link(temporary_.c_str(), path.c_str()) == 0) {
    give_up();
  } else if (errno == EEXIST) {
    return false;
  } else {
    struct stat there;
    if (lstat(path.c_str(), &there) == 0) return false;
    if (::rename(temporary_.c_str(), path.c_str()) != 0) fail_to("write", path);
    close(std::exchange(descriptor_, -1));
  }
  sync_parent_folder(path);
  return true;
}

void remove_temporaries(const std::string& folder) {
  std::error_code ignored;  // a missing folder is reported by the write that follows
  for (std::filesystem::directory_iterator entry(folder, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const std::string path = entry->path().string();
    if (!is_temporary(entry->path().filename().string())) continue;
    const Descriptor file{retried([&] { return open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK); })};
    if (file.number >= 0 && flock(file.number, LOCK_EX | LOCK_NB) == 0) unlink(path.c_str());
  }
}

AppendFile::AppendFile(const std::string& path)
    : path_(path),
      descriptor_(retried([&] { return open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666); })) {
  if (descriptor_ < 0) fail_to("write", path);
}

AppendFile::~AppendFile() { close(descriptor_); }

void AppendFile::append(std::string_view bytes) {
  const off_t end = lseek(descriptor_, 0, SEEK_END);
  if (end >= 0 && write_all(descriptor_, bytes)) return;
  const int error = errno;
  // Another process may have appended meanwhile. It does so by one call a line, so a torn line is the last one.
  if (end >= 0 && ftruncate(descriptor_, end) != 0) fail_to("write", path_);
  fail_to("write", path_, error);
}

void AppendFile::sync() {
  if (retried([&] { return fsync(descriptor_); }) != 0) fail_to("write", path_);
  if (!named_) sync_parent_folder(path_);
  named_ = true;
}

void cut_torn_line(const std::string& path) {
  const Descriptor file{retried([&] { return open(path.c_str(), O_RDWR | O_CLOEXEC); })};
  if (file.number < 0 && errno == ENOENT) return;
  if (file.number < 0) fail_to("write", path);
  off_t end = lseek(file.number, 0, SEEK_END);
  const off_t size = end;
  for (char last = 0; end > 0; --end) {
    if (retried([&] { return pread(file.number, &last, 1, end - 1); }) != 1) fail_to("read", path);
    if (last == '\n') break;
  }
  if (end != size && ftruncate(file.number, end) != 0) fail_to("write", path);
}

void sync_file(const std::string& path) {
  const Descriptor file{retried([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC); })};
  if (file.number < 0 || retried([&] { return fsync(file.number); }) != 0) fail_to("write", path);
}

void remove_folder(const std::string& path) {
  std::error_code error;
  do std::filesystem::remove_all(path, error);
  while (error == std::errc::interrupted);
  if (error) fail_to("remove", path, error.value());
}

void replace_folder(const std::string& from, const std::string& to) {
  remove_folder(to);
  if (rename(from.c_str(), to.c_str()) != 0) fail_to("write", to);
  sync_parent_folder(to);
}

void write_file_durably(const std::string& path, std::string_view bytes) { PendingFile(path, bytes).commit(); }

}  // namespace poph
