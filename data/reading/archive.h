#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/music/midi.h"
#include "data/reading/other_formats.h"

// MIDI files out of .tar (plain, or compressed by gzip, bzip2, xz or zstd) and .zip archives, from front to end, by
// libarchive. An archive is data: nothing of it is ever written to a disk, names are labels and no paths, links and
// devices are not followed, archives within it are not opened, and no other program is started for it.
namespace poph {

// Bounds on the work for a corrupt or malicious archive.
struct ArchiveLimits {
  int64_t member_bytes = max_file_bytes;        // a larger member is skipped
  int64_t free_expansion = int64_t{256} << 20;  // any archive may expand to so many bytes ..
  int64_t expansion = 100;                      // .. and to so many more for each byte of it that was read
};

struct ArchiveMember {
  std::string name;              // as in the archive, without "./" in front; may hold any bytes
  Damage damage = Damage::none;  // why it is not read; then there are no bytes
  std::string reason;            // the same in a sentence
  std::vector<uint8_t> bytes;
};

class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path, const ArchiveLimits& limits = {});
  explicit ArchiveReader(std::span<const uint8_t> bytes, const ArchiveLimits& limits = {});  // which must outlive it
  ~ArchiveReader();

  // The next member that is named like a MIDI file; false at the end. Memory: one member and libarchive's own (of a
  // .zip its list of members; what the window of an .xz or .zst asks for, at most a gigabyte). Error: it is no archive,
  // the disk cannot be read, it expands beyond the limits.
  bool next(ArchiveMember& member);

  int64_t bytes_read() const;  // of the archive, for progress
  int64_t bytes() const;       // of the archive
  // A line for each place where it is damaged or ends too early. Whole members before and behind such a place are read.
  const std::vector<std::string>& damage() const;
  const OtherFiles& other_files() const;  // members so far that are music but no MIDI, by their names

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace poph
