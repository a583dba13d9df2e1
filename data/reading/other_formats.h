#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Music that is no MIDI: what it is, and how its owner gets MIDI of it. PopH reads none of it.
namespace poph {

// Of a file that is not MIDI, by its first bytes: "this is MusicXML; MuseScore makes MIDI of it: ..". Empty where they
// say nothing.
std::string other_format(std::span<const uint8_t> bytes);

// Counts files that are music by their names, but are not read.
class OtherFiles {
 public:
  void see(std::string_view name);
  // "3 files of ABC notation are not read; abc2midi makes MIDI of it: ..", a line for each format
  std::vector<std::string> lines() const;

 private:
  std::map<size_t, int64_t> counts_;  // by the format's place in the table
};

}  // namespace poph
