#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/roll_cache.h"
#include "data/split.h"

// Reads music from folders, archives, MIDI files and chord files into packed rolls, split into pieces to train on and pieces held
// out.
namespace poph {

struct Piece {
  std::string name;  // the path within its source, with control characters as escapes; for a chord file the split and index, too
  std::shared_ptr<const Roll> roll;
};

struct Skipped {
  std::string path, reason;  // of a member of an archive: the archive's path, "/" and the name in it
  bool whole_file = true;    // false: one piece of a chord file
};

struct CorpusSettings {
  std::vector<std::string> sources;  // folders (searched through), archives (data/file_names.h), MIDI files, chord .json files
  RollSettings roll;
  int64_t channels = 3;                           // a chord file is an error unless 1
  int64_t max_file_bytes = poph::max_file_bytes;  // a larger MIDI file is skipped
  Split split = Split::share;                     // chord files bring their own splits
  double held_out = 0.05;                         // the share
  uint64_t seed = 1;                              // of the split
  int threads = 0;                                // 0: one per core
  CacheSettings cache;
  WatchReading watch;
};

struct Corpus {
  std::vector<Piece> train, valid, test;  // each in the order of the sources, and in each of these of the files' paths
  std::vector<Skipped> skipped;
  std::vector<Skipped> salvaged;     // files that are damaged, and read as far as that goes: what is wrong with them
  std::vector<std::string> remarks;  // on archives that are damaged themselves, and on the cache
  int64_t files = 0, dropped_notes = 0, steps = 0;  // files tried; of the pieces used, each piece once
  int64_t shared = 0;                               // pieces that are in train and in valid
  std::string fingerprint;  // 16 hex digits: of the roll settings and the used files' contents, whatever their names

  int64_t bytes() const;  // of memory that the rolls hold
  int64_t skipped_files() const;
};

// Files that cannot be read and pieces in which nothing sounds are skipped and listed. An Error: a source that is not there, a
// folder or archive without MIDI files, an archive that is none or expands beyond all measure (data/archive.h), nothing usable at
// all, a chord file that is malformed or asked for more than play. Of an archive that is damaged or cut off, what can be read is.
Corpus load_corpus(const CorpusSettings& settings);

}  // namespace poph
