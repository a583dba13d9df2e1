#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/music/damage.h"

// Standard MIDI Files: a reader that trusts no length in the file, and a writer of one-track files.
namespace poph {

inline constexpr int64_t max_file_bytes = int64_t{1} << 28;  // of a MIDI file; keeps every tick below 2^56

inline constexpr uint8_t note_off_kind = 0x80, note_on_kind = 0x90, controller_kind = 0xB0;
inline constexpr int percussion_channel = 9;  // the tenth
// The controllers that change how long notes last: the sustain pedal, and three that the standard calls channel mode
// messages. The reader drops all others.
inline constexpr uint8_t sustain_pedal = 64, all_sound_off = 120, reset_all_controllers = 121, all_notes_off = 123;

// A note-on (velocity above 0), a note-off or one of these controllers.
struct MidiEvent {
  int64_t tick = 0;
  uint8_t kind = 0, channel = 0, key = 0, value = 0;  // key: the pitch, or the controller's number
};

struct TempoChange {
  int64_t tick = 0, microseconds = 500000;  // of a quarter note from this tick on
};

// A bar's length as a time signature has it: numerator notes, each the denominator's share of a whole note.
struct Meter {
  int numerator = 4, denominator = 4;

  bool operator==(const Meter&) const = default;
};
// What a MIDI file can say: 1 to 255 of a power of two up to 128.
constexpr bool is_meter(Meter meter) {
  const int d = meter.denominator;
  return meter.numerator >= 1 && meter.numerator <= 255 && d >= 1 && d <= 128 && (d & (d - 1)) == 0;
}

struct TimeSignature {
  int64_t tick = 0;
  Meter meter;
};

struct MidiTrack {
  uint32_t first_event = 0, events = 0;          // a run of MidiFile::events, in file order
  uint32_t first_tempo = 0, tempos = 0;          // in a file of format 2 runs of MidiFile::tempos
  uint32_t first_signature = 0, signatures = 0;  // .. and of MidiFile::signatures, each by tick
  int64_t end_tick = 0;
};

// A reader of many files uses one again and again: its vectors keep their memory.
struct MidiFile {
  int format = 0;
  int64_t ticks_per_quarter = 0;               // 0: time runs in SMPTE frames
  int64_t smpte_ticks = 0, smpte_seconds = 1;  // then smpte_ticks ticks last smpte_seconds seconds
  std::vector<MidiTrack> tracks;
  std::vector<MidiEvent> events;
  // Of all tracks, by tick; in a file of format 2, whose tracks are pieces of their own, track by track.
  std::vector<TempoChange> tempos;        // before the first one a quarter lasts 0.5 s
  std::vector<TimeSignature> signatures;  // before the first one a bar is 4/4
  Damage damage = Damage::none;           // the first thing that is odd about the file
  size_t damage_at = 0;                   // the byte where that was seen

  // Those that hold for a track: in a file of format 2 its own, otherwise all.
  std::span<const TempoChange> tempos_of(const MidiTrack& track) const {
    return format == 2 ? std::span(tempos).subspan(track.first_tempo, track.tempos) : tempos;
  }
  std::span<const TimeSignature> signatures_of(const MidiTrack& track) const {
    return format == 2 ? std::span(signatures).subspan(track.first_signature, track.signatures) : signatures;
  }
  int64_t last_tick() const;  // of all tracks
  double seconds() const;     // to the last tick; in a file of format 2 of one track after the other
};

// Reads a whole file's bytes. Of a damaged file it reads as much as it can:
// - A track with a fault keeps the events before it and ends with the last of them; other tracks are read all the same.
// - A chunk's length is believed if the file goes on behind it: ends there, or another chunk begins. Otherwise the
//   track ends at its end-of-track event, where the next 'MTrk' begins, or with the file.
// - Bytes before 'MThd' (RIFF, say) and between or behind chunks, a wrong track count, a missing end-of-track and a
//   time signature that makes no sense are passed over.
// All this is noted in `damage`. Not odd are unknown chunks, a longer header and running status across meta events.
// Damaged, with a message that names the byte: no 'MThd' of 14 bytes, no 'MTrk' of 8, a format above 2, a division of 0
// or of no known frame rate. At most 16 bytes of memory for each byte of the file and 16 kB, 0.5 us of a core for each
// and 50 ms (as all such bounds: tests/fuzz/bounds.cpp tries to break it).
void parse_midi(std::span<const uint8_t> bytes, MidiFile& into);
MidiFile parse_midi(std::span<const uint8_t> bytes);

// FileError: the file cannot be read, or has more than max_file_bytes.
MidiFile read_midi_file(const std::string& path);

// Writes a file of one track in format 0, of more in format 1. Track k is on channel k, so that a note of one track
// ends none of another. Ticks must not fall within a track.
class MidiWriter {
 public:
  MidiWriter(int64_t ticks_per_quarter, double beats_per_minute, int tracks = 1);
  void next_track(int64_t end_tick) {  // ends the one before
    end_track(end_tick);
    begin_track();
    ++channel_;
  }
  // Both at the tick of what was written last; at most 127 bytes.
  void text(std::string_view line) { text_event(text_kind, line); }
  void track_name(std::string_view name) { text_event(track_name_kind, name); }
  void time_signature(int64_t tick, Meter meter);
  void note_on(int64_t tick, int64_t pitch, int64_t velocity);
  void note_off(int64_t tick, int64_t pitch);
  std::vector<uint8_t> finish(int64_t end_tick);  // the file; call it once

 private:
  static constexpr uint8_t text_kind = 1, track_name_kind = 3;  // of meta events

  void delta(int64_t tick);
  void begin_track();
  void end_track(int64_t end_tick);
  void text_event(uint8_t kind, std::string_view line);

  std::vector<uint8_t> bytes_;
  size_t track_ = 0;  // where the events of this track begin
  int64_t tick_ = 0;
  uint8_t channel_ = 0;
};

}  // namespace poph
