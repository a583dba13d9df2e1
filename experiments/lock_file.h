#pragma once
#include <string>

namespace poph {

// Locks between processes: each byte of a file is one. They are the kernel's open-file-description locks, which end with their
// process however it ends. On a disk shared by several machines they hold between these where byte-range locks of that disk do
// (NFS with its lock service, Lustre mounted with -o flock); where they do not, they hold within each machine.
class LockFile {
 public:
  explicit LockFile(const std::string& path);  // made where it is not there; holds nothing yet
  ~LockFile();
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;

  enum class Kind { shared, exclusive };
  enum class Wait { no, yes };
  // False: another process holds it. Taking a lock that is held already changes its kind, with no moment between the two.
  bool take(int byte, Kind kind, Wait wait = Wait::no);
  void release(int byte);

  bool is_there() const;     // its path still leads to it: nobody has removed, moved or replaced it
  std::string text() const;  // what its holder has written: who that is
  void write(const std::string& text);

  // Whether another process holds the lock; asking takes nothing. False where there is no such file.
  static bool held(const std::string& path, int byte = 0);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace poph
