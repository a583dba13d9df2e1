#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/roll.h"

// Where music comes from: folders, MIDI files, archives, chord files.
namespace poph {

// What came of one MIDI file, or of one piece of a chord file.
struct ReadPiece {
  std::string name;    // within its source
  std::string reason;  // why there is no roll; with a roll, what is wrong with the file that it was saved from
  std::shared_ptr<const Roll> roll;
  uint64_t hash = 0;  // of the file's bytes, and of the piece's place in a chord file
  int64_t dropped_notes = 0;
  int split = -1;          // of a chord file's piece: into split_names
  bool whole_file = true;  // false: one piece of a chord file
  std::string digest;      // SHA-256 of the file's bytes, where that was asked for; empty: it could not be read
};

struct Source {
  enum class Kind { folder, file, archive, chords };
  Kind kind = Kind::folder;
  std::string path;
  std::vector<std::string> names;   // of a folder's MIDI files within it, in order
  std::vector<ReadPiece> pieces;    // what came of it
  std::vector<std::string> damage;  // of an archive, a line each

  std::string path_of(const std::string& name) const;  // for messages
};

// Error: a source that is not there, a folder without MIDI files, a chord file where more than play is asked for. A file that
// several sources name belongs to the first of them; an archive that is named twice is read once.
std::vector<Source> find_sources(const std::vector<std::string>& paths, int64_t channels);

}  // namespace poph
