#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/midi.h"

// MIDI files out of .tar (plain, or compressed by gzip, bzip2, xz or zstd) and .zip archives, from front to end, by libarchive.
// An archive is data: nothing of it is ever written to a disk, names are labels and no paths, links and devices are not
// followed, archives within it are not opened, and no other program is started for it.
namespace poph {

// What bounds the work on an archive that lies, or was made to hurt.
struct ArchiveLimits {
  int64_t member_bytes = max_file_bytes;        // a larger member is skipped
  int64_t free_expansion = int64_t{256} << 20;  // bytes that any archive may expand to ..
  int64_t expansion = 100;                      // .. and how many more for each byte of it that was read
};

struct ArchiveMember {
  std::string name;    // as in the archive, without "./" in front; may hold any bytes
  std::string reason;  // why it is not read; then there are no bytes
  std::vector<uint8_t> bytes;
};

class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path, const ArchiveLimits& limits = {});
  explicit ArchiveReader(std::span<const uint8_t> bytes, const ArchiveLimits& limits = {});  // which must outlive it
  ~ArchiveReader();

  // The next member that is named like a MIDI file; false at the end. Memory: one member and libarchive's own (of a .zip its list
  // of members; what the window of an .xz or .zst asks for, at most a gigabyte). Error: it is no archive, the disk cannot be
  // read, it expands beyond the limits.
  bool next(ArchiveMember& member);

  int64_t bytes_read() const;  // of the archive, for progress
  int64_t bytes() const;       // of the archive
  // Where it is damaged or ends too early, a line each; members that could be read before and behind that were.
  const std::vector<std::string>& damage() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace poph
