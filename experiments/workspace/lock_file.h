#pragma once
#include <string>

// Locks between processes: each byte of a file is one. They are the kernel's open-file-description locks, which end
// with their process however it ends. On a disk shared by several machines they hold between the machines where
// byte-range locks of that disk do (NFS with its lock service, Lustre mounted with -o flock), and otherwise within each
// machine.
namespace poph {

class LockFile {
 public:
  explicit LockFile(const std::string& path);  // makes the file where there is none; takes no lock
  ~LockFile();
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;

  enum class Kind { shared, exclusive };
  enum class Wait { no, yes };
  // False: another process holds the lock. Taking a lock that this object holds changes its kind in one step.
  bool take(int byte, Kind kind, Wait wait = Wait::no);
  void release(int byte);

  bool is_there() const;     // its path still leads to this file: nobody has removed, moved or replaced it
  std::string text() const;  // as its holder wrote it: who that is
  void write(const std::string& text);

  // Whether another process holds the lock. Takes no lock. False where there is no such file.
  static bool held(const std::string& path, int byte = 0);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace poph
