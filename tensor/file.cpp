#include "tensor/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint64_t most_bytes_per_call = uint64_t{1} << 30;  // Linux transfers at most 2 GiB in one call

[[noreturn]] void fail_to(const char* action, const std::string& path, int error = errno) {
  fail("cannot ", action, " ", path, ": ", std::generic_category().message(error));
}

// A signal (Ctrl-C is one that training survives) may interrupt any of these calls before it did its work.
template <class Call>
auto retried(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  Descriptor file{retried([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); })};
  if (file.number < 0) fail_to("read", path);
  struct stat about;
  if (fstat(file.number, &about) != 0) fail_to("read", path);
  if (S_ISDIR(about.st_mode)) fail_to("read", path, EISDIR);
  require(S_ISREG(about.st_mode), "cannot read ", path, ": not a regular file");
  size_ = static_cast<uint64_t>(about.st_size);
  std::swap(descriptor_, file.number);
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::read(uint64_t offset, void* to, uint64_t bytes) const {
  for (uint64_t done = 0; done < bytes;) {
    const size_t wanted = std::min(bytes - done, most_bytes_per_call);
    const ssize_t got =
        retried([&] { return pread(descriptor_, static_cast<char*>(to) + done, wanted, static_cast<off_t>(offset + done)); });
    if (got < 0) fail_to("read", path_);
    require(got > 0, "cannot read ", path_, ": it ends at byte ", offset + done, ", expected ", offset + bytes, " bytes");
    done += static_cast<uint64_t>(got);
  }
}

std::string read_file(const std::string& path, uint64_t most_bytes) {
  const InputFile file(path);
  require(file.size() <= most_bytes, "cannot read ", path, ": it has ", file.size(), " bytes, more than the ", most_bytes,
          " that such a file may have");
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

void sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const Descriptor folder{
      retried([&] { return open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); })};
  if (folder.number < 0) fail_to("write", path);
  const int status = retried([&] { return fsync(folder.number); });
  if (status != 0 && errno != EINVAL && errno != ENOTSUP) fail_to("write", path);  // some network disks cannot sync a folder
}

PendingFile::PendingFile(const std::string& path, std::string_view bytes) : path_(path) {
  static std::atomic<int> count = 0;
  temporary_ = joined(path, ".tmp-", getpid(), "-", count++);
  Descriptor file{retried([&] { return open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666); })};
  if (file.number < 0) fail_to("write", path);
  auto give_up = [&] {
    const int error = errno;  // unlink may change it
    unlink(temporary_.c_str());
    fail_to("write", path, error);
  };
  while (!bytes.empty()) {
    const ssize_t written =
        retried([&] { return write(file.number, bytes.data(), std::min(bytes.size(), most_bytes_per_call)); });
    if (written < 0) give_up();
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (retried([&] { return fsync(file.number); }) != 0) give_up();
  if (close(std::exchange(file.number, -1)) != 0 && errno != EINTR) give_up();
}

PendingFile::~PendingFile() {
  if (pending_) unlink(temporary_.c_str());
}

void PendingFile::commit() {
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_to("write", path_);
  pending_ = false;
  sync_folder_of(path_);
}

void write_file_durably(const std::string& path, std::string_view bytes) { PendingFile(path, bytes).commit(); }

}  // namespace poph
