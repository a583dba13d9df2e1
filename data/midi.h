#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

// Standard MIDI Files: our own reader, which trusts no length it is told, and a writer of one-track files.
namespace poph {

inline constexpr int64_t max_file_bytes = int64_t{1} << 28;  // what read_file takes; keeps every tick below 2^56

inline constexpr uint8_t note_off_kind = 0x80, note_on_kind = 0x90, controller_kind = 0xB0;
inline constexpr int percussion_channel = 9;  // the tenth

// A note-on (velocity above 0), a note-off or a sustain pedal (a controller of value 0..127).
struct MidiEvent {
  int64_t tick = 0;
  uint8_t kind = 0, channel = 0, key = 0, value = 0;  // key: the pitch, or 64 for the pedal
};

struct MidiTrack {
  size_t first_event = 0, events = 0;  // a run of MidiFile::events, in file order
  int64_t end_tick = 0;
};

struct TempoChange {
  int64_t tick = 0, microseconds = 500000;  // a quarter note lasts so long from here on
};

// A reader's buffers keep their memory from one file to the next.
struct MidiFile {
  int format = 0;
  int64_t ticks_per_quarter = 0;               // 0: time runs in SMPTE frames instead,
  int64_t smpte_ticks = 0, smpte_seconds = 1;  // so many ticks in so many seconds
  std::vector<MidiTrack> tracks;
  std::vector<MidiEvent> events;
  std::vector<TempoChange> tempos;  // of all tracks, by tick; before the first one a quarter lasts 0.5 s

  int64_t last_tick() const;
  double seconds() const;  // to the last tick of all tracks
};

// Reads a whole file's bytes. What is odd but harmless passes: unknown chunks, a wrong track count, a missing end-of-track, a
// longer header, running status across meta events, junk after the last track. All else is an Error that names the byte.
void parse_midi(std::span<const uint8_t> bytes, MidiFile& into);
MidiFile parse_midi(std::span<const uint8_t> bytes);

// The bytes of a regular file, held in `buffer`, which only grows. Errors name the path.
std::span<const uint8_t> read_file(const std::string& path, std::vector<uint8_t>& buffer, int64_t most_bytes = max_file_bytes);

// Writes a format-0 file on channel 1. Ticks must not fall.
class MidiWriter {
 public:
  MidiWriter(int64_t ticks_per_quarter, double beats_per_minute);
  void note_on(int64_t tick, int64_t pitch, int64_t velocity);
  void note_off(int64_t tick, int64_t pitch);
  std::vector<uint8_t> finish(int64_t end_tick);  // the file; the writer is spent

 private:
  void delta(int64_t tick);

  std::vector<uint8_t> bytes_;
  int64_t tick_ = 0;
};

}  // namespace poph
