#include "experiments/workspace/lock_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/files/file.h"
#include "tensor/error.h"

namespace poph {
namespace {

int lock_command(int descriptor, int command, struct flock& lock) {
  return retried([&] { return fcntl(descriptor, command, &lock); });
}

struct flock byte_lock(int byte, int type) {  // F_RDLCK, F_WRLCK or F_UNLCK
  struct flock lock {};
  lock.l_type = static_cast<short>(type);
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  return lock;
}

}  // namespace

LockFile::LockFile(const std::string& path)
    : path_(path), descriptor_(retried([&] { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644); })) {
  require(descriptor_ >= 0, "cannot write ", path, ": ", std::strerror(errno));
}

LockFile::~LockFile() { close(descriptor_); }

bool LockFile::take(int byte, Kind kind, Wait wait) {
  struct flock lock = byte_lock(byte, kind == Kind::shared ? F_RDLCK : F_WRLCK);
  if (lock_command(descriptor_, wait == Wait::yes ? F_OFD_SETLKW : F_OFD_SETLK, lock) == 0) return true;
  require(errno == EAGAIN || errno == EACCES, "cannot lock ", path_, ": ", std::strerror(errno));
  return false;
}

void LockFile::release(int byte) {
  struct flock lock = byte_lock(byte, F_UNLCK);
  lock_command(descriptor_, F_OFD_SETLK, lock);
}

bool LockFile::is_there() const {
  struct stat own, there;
  return fstat(descriptor_, &own) == 0 && stat(path_.c_str(), &there) == 0 && own.st_dev == there.st_dev &&
         own.st_ino == there.st_ino;
}

std::string LockFile::text() const {
  char found[128] = {};
  const ssize_t length = retried([&] { return pread(descriptor_, found, sizeof found - 1, 0); });
  return length > 0 ? std::string(found) : "";
}

void LockFile::write(const std::string& text) {
  const bool written = retried([&] { return ftruncate(descriptor_, 0); }) == 0 &&
                       // a part of it will do
                       retried([&] { return pwrite(descriptor_, text.data(), text.size(), 0); }) >= 0;
  require(written, "cannot write ", path_, ": ", std::strerror(errno));
}

bool LockFile::held(const std::string& path, int byte) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  struct flock lock = byte_lock(byte, F_WRLCK);
  const bool asked = lock_command(descriptor, F_OFD_GETLK, lock) == 0;
  close(descriptor);
  return asked && lock.l_type != F_UNLCK;
}

}  // namespace poph
