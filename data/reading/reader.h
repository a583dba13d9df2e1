#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/music/roll.h"
#include "data/reading/outside.h"
#include "data/reading/sources.h"

// Reads sources into packed rolls with several threads. The rolls do not depend on the number of threads.
namespace poph {

// One MIDI file, or one piece of a chord file, as it was read.
struct ReadPiece {
  std::string name;                  // within its source
  std::shared_ptr<const Roll> roll;  // null: the file is skipped, or PopH composed it where there is no damage
  Damage damage = Damage::none;      // why there is no roll; with a roll, what is wrong with the file
  std::string reason;                // the same in a sentence
  uint64_t hash = 0;                 // of the MIDI file's bytes, and of the piece's place in a chord file
  int64_t dropped_notes = 0, percussion_notes = 0;  // left out: out of range; of the percussion channel
  int split = -1;                                   // of a chord file's piece: into split_names
  bool whole_file = true;                           // false: one piece of a chord file
  std::optional<OutsideKeys> outside;               // of a roll, where it was asked for and could be read
  std::string digest;  // SHA-256 of the file's bytes, where it was asked for; empty: it could not be read

  bool is_left_out() const { return !roll && damage == Damage::none; }  // PopH composed it
};

struct SourceContents {
  std::vector<ReadPiece> pieces;
  std::vector<std::string> damage;  // of an archive as a whole, a line each: what is damaged, what is not read
};

// How far the reading is; files_in_all is 0 while it is not known: in an archive.
struct ReadingProgress {
  const char* what = "reading";  // or "checking": whether a cache has it
  std::string source;            // of an archive, its name; otherwise empty
  int64_t files = 0, files_in_all = 0;
  int64_t bytes = 0, bytes_in_all = 0;  // of an archive
};
using WatchReading = std::function<void(const ReadingProgress&)>;  // may throw to end it

struct ReadSettings {
  RollSettings roll;
  int64_t max_file_bytes = poph::max_file_bytes;
  int threads = 1;
  bool digests = false;  // of each file
  bool outside = false;  // count the piano's keys outside the range
  WatchReading watch;    // after each file, from the reading threads, one at a time
};

// The contents of sources that are no archives: pieces in the order of the source's names, a chord file's in its own
// order. Error: a chord file that is malformed.
std::vector<SourceContents> read_files(const std::vector<const Source*>& sources, const ReadSettings& settings);

// An archive's pieces, by name. One thread reads it from front to end, and decodes when the others are behind: so no
// more than max_waiting_bytes and a file for each thread are in memory beside the rolls.
inline constexpr int64_t max_waiting_bytes = int64_t{32} << 20;
SourceContents read_archive(const Source& source, const ReadSettings& settings);

}  // namespace poph
