#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
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

// What parse_midi passes over: each kind in the words that messages and summaries have for it.
namespace midi_faults {
inline constexpr std::string_view riff = "a RIFF wrapper";
inline constexpr std::string_view before_header = "bytes before the header";
inline constexpr std::string_view chunk_length = "a wrong chunk length";
inline constexpr std::string_view no_chunk = "bytes between or behind the chunks";
inline constexpr std::string_view truncated = "the file is cut off within a track";
inline constexpr std::string_view no_end = "a track without an end-of-track event";
inline constexpr std::string_view track_count = "a wrong number of tracks";
inline constexpr std::string_view data_byte = "a data byte above 0x7f";
inline constexpr std::string_view no_status = "a data byte without a status before it";
inline constexpr std::string_view status = "an undefined status";
inline constexpr std::string_view quantity = "a delta time or length of more than 4 bytes";
inline constexpr std::string_view event_length = "an event longer than its track";
inline constexpr std::string_view cut_event = "an event cut off by its track's end";
}  // namespace midi_faults

// A reader's buffers keep their memory from one file to the next.
struct MidiFile {
  int format = 0;
  int64_t ticks_per_quarter = 0;               // 0: time runs in SMPTE frames instead,
  int64_t smpte_ticks = 0, smpte_seconds = 1;  // so many ticks in so many seconds
  std::vector<MidiTrack> tracks;
  std::vector<MidiEvent> events;
  std::vector<TempoChange> tempos;  // of all tracks, by tick; before the first one a quarter lasts 0.5 s
  std::string_view salvaged;        // of midi_faults: the first thing that is odd about the file; empty: nothing is
  size_t salvaged_at = 0;           // the byte where that was seen

  int64_t last_tick() const;
  double seconds() const;  // to the last tick of all tracks
};

// Reads a whole file's bytes, and of a damaged file what can be had:
// - A track with a fault keeps the events before it and ends with the last of them; other tracks are read all the same.
// - A chunk's length is believed if the file goes on behind it: ends there, or another chunk begins. Otherwise the track ends at
//   its end-of-track event, where the next 'MTrk' begins, or with the file.
// - Bytes before 'MThd' (RIFF, say) and between or behind chunks, a wrong track count and a missing end-of-track are passed over.
// All this is noted in `salvaged`. Not odd are unknown chunks, a longer header and running status across meta events. An Error
// that names the byte: no 'MThd' of 14 bytes, no 'MTrk' of 8, a format above 2, a division of 0 or of no known frame rate.
// At most 16 bytes of memory for each byte of the file and 16 kB, 0.5 us of a core for each and 50 ms (as all such bounds:
// tests/fuzz/bounds.cpp tries to break it).
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
