#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/music/match.h"
#include "data/reading/cache.h"
#include "data/reading/split.h"

// The door to data/reading: music from folders, archives, MIDI files and chord files as packed rolls, split into pieces
// to train on and pieces held out. load_corpus, in this order:
//
//   sources.h       finds the files that the user named (file_names.h: what a file is, by its name;
//                   other_formats.h: music that is no MIDI, and how one gets MIDI of it)
//   cache.h         has what was read of a large source before (stamps.h: whether a folder has changed since;
//                   cache_entry.h and packed_rolls.h: how it lies on the disk)
//   reader.h        reads the others with all threads (archive.h: the files in an archive; midi_bytes.h: compressed
//                   files; left_out.h: what is left out of a piece, in words)
//   outside.h       counts the piano's other keys where a model reads fewer
//   split.h         says which pieces are held out, of each style by itself
namespace poph {

struct Piece {
  // the path within its source, with control characters as escapes; for a chord file the split and index, too
  std::string name;
  std::shared_ptr<const Roll> roll;
  std::optional<OutsideKeys> outside = {};  // read for play alone on fewer keys than the piano's (outside.h)
  // The shares of the styles, of a corpus of styles: 1 of the piece's own, 0 of the others. Empty: it has none.
  std::vector<double> style = {};
  // Of each step, for models that read them: [0] of play alone, [1] with replays. find_matches() in data/matches.h.
  std::array<std::shared_ptr<const std::vector<Matches>>, 2> matches = {};
};

// A file that is skipped, or that is damaged and read as far as that goes.
struct DamagedFile {
  std::string path;  // of a member of an archive: the archive's path, "/" and the name in it
  Damage damage = Damage::none;
  std::string reason;      // the same in a sentence
  bool whole_file = true;  // false: one piece of a chord file
};

// Music of one style: sources as in CorpusSettings.
struct StyleSources {
  std::string name;
  std::vector<std::string> sources;
};

struct CorpusSettings {
  // folders (searched through), archives (data/reading/file_names.h), MIDI files, chord .json files
  std::vector<std::string> sources;
  std::vector<StyleSources> styles = {};  // in place of the sources; what two of them hold counts for the first alone
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
  // each in the order of the sources, and in each of these of the files' paths
  std::vector<Piece> train, valid, test;
  std::vector<DamagedFile> skipped, damaged;  // damaged: read nevertheless
  // on archives that are damaged themselves, on music that is no MIDI, on the cache, and on what PopH composed
  std::vector<std::string> remarks;
  int64_t files = 0, steps = 0;                     // files tried; of the pieces used, each piece once
  int64_t dropped_notes = 0, percussion_notes = 0;  // of the pieces used: out of range; of the percussion channel
  int64_t left_out = 0;                             // files that PopH composed, but for those in folders of runs
  int64_t shared = 0;                               // pieces that are in train and in valid
  std::vector<std::string> styles = {};             // their names
  // 16 hex digits: of the roll settings, the reader's version and the used files' contents, whatever their names; of a
  // corpus of styles, of each style's in their order
  std::string fingerprint;

  // Which style is the piece's own; -1: it has none.
  static int64_t style_of(const Piece& piece);

  int64_t bytes() const;  // of memory that the rolls and their matches hold
  int64_t skipped_files() const;
};

// Skips and lists files that cannot be read and pieces in which nothing sounds. Error: a source that is not
// there, a folder or archive without MIDI files, a style without a piece of its own, a file that is no archive or
// expands beyond all measure (data/reading/archive.h), nothing usable at all, a chord file that is malformed or asked
// for more than play. An archive that is damaged or cut off is read as far as it can be.
Corpus load_corpus(const CorpusSettings& settings);

}  // namespace poph
