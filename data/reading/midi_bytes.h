#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/music/midi.h"

// MIDI files as people keep them: as they are, compressed by gzip (.mid.gz), in Microsoft's RIFF wrapper (.rmi).
namespace poph {

// gzip may expand to so many bytes, and to so many more for each byte that it has.
inline constexpr int64_t free_gzip_bytes = int64_t{1} << 20, gzip_expansion = 100;

// The MIDI file within the bytes of a file of this name.
struct MidiBytes {
  std::span<const uint8_t> bytes;
  bool whole = true;  // false: gzip is damaged behind what it gave so far
};
// `buffer` is room for what is expanded, at most max_bytes. Damaged: gzip that gives nothing or too much.
MidiBytes unwrap(std::string_view name, std::span<const uint8_t> bytes, int64_t max_bytes,
                 std::vector<uint8_t>& buffer);

// As parse_midi(bytes, into) of data/music/midi.h; of a file that is no MIDI the message says what it is instead.
void parse_midi(const MidiBytes& file, MidiFile& into);

// Both, of one file that the user named. Error: one line that begins with the path.
MidiFile read_midi(const std::string& path);

}  // namespace poph
