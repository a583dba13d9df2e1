#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/roll.h"

// Reads music from folders, MIDI files and chord files into packed rolls, split into pieces to train on and pieces held out.
namespace poph {

struct Piece {
  std::string name;  // the path within its source, and for a chord file the split and index
  std::shared_ptr<const Roll> roll;
};

struct Skipped {
  std::string path, reason;
  bool whole_file = true;  // false: one piece of a chord file
};

struct CorpusSettings {
  std::vector<std::string> sources;  // folders (searched through), MIDI files, chord .json files
  RollSettings roll;
  int64_t channels = 3;                                       // a chord file is an error unless 1
  double held_out = 0.05;                                     // share of the pieces in valid; chord files bring their own splits
  bool no_split = false;                                      // valid is the same pieces as train, but for chord files
  uint64_t seed = 1;                                          // of the split
  int threads = 0;                                            // 0: one per core
  std::function<void(int64_t done, int64_t total)> progress;  // after each file, from the reading threads, one at a time
};

struct Corpus {
  std::vector<Piece> train, valid, test;  // each in the order of the files' paths
  std::vector<Skipped> skipped;
  int64_t files = 0, dropped_notes = 0, steps = 0;  // files tried; of the pieces used, each piece once
  int64_t shared = 0;                               // pieces that are in train and in valid
  std::string fingerprint;  // 16 hex digits: of the roll settings and the used files' contents, whatever their names

  int64_t bytes() const;  // of memory that the rolls hold
  int64_t skipped_files() const;
};

// Files that cannot be read and pieces in which nothing sounds are skipped and listed. An Error: a source that is not there, a
// folder without MIDI files, nothing usable at all, a chord file that is malformed or asked for more than play.
//
// The split is a function of the seed and the files' contents, not of their names or order. Held out are
// round(held_out * pieces), at least one of two or more, never all; copies of one file go to one side together, so valid stays
// empty when there is but one content.
Corpus load_corpus(const CorpusSettings& settings);

}  // namespace poph
