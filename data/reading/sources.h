#pragma once
#include <cstdint>
#include <string>
#include <vector>

// Where music lies: folders, MIDI files, archives, chord files. Nothing is read here.
//
// A folder is searched with all folders in it, those that links lead to as well. Each is searched once: what lies in
// the folder itself is found there, whatever links lead to it, and a loop of links ends.
namespace poph {

struct Source {
  enum class Kind { folder, file, archive, chords };
  Kind kind = Kind::folder;
  std::string path;
  std::vector<std::string> names;    // a folder's MIDI files within it, in order; otherwise the file's own name
  std::vector<std::string> remarks;  // of a folder: what in it is music but no MIDI, which folders cannot be read
  std::vector<std::string> run_folders = {};  // within a folder: not read (composed.h)

  std::string path_to(const std::string& name) const;  // a file in the source; of an archive or chord file a label
};

// Error: a source that is not there, a folder without MIDI files, a chord file where channels ask for more than play. A
// file that several sources name belongs to the first of them. An archive that is named twice is read once.
std::vector<Source> find_sources(const std::vector<std::string>& paths, int64_t channels);

}  // namespace poph
