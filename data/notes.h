#pragma once
#include <cstdint>
#include <vector>

#include "data/midi.h"

// From events to notes (SPEC 1).
namespace poph {

// A note sounds from its note-on until a note-off of its pitch, the pitch's next note-on or the end of the track.
struct Note {
  int64_t onset = 0, duration = 0;  // ticks; a note may have no length
  uint8_t channel = 0, pitch = 0, velocity = 0;
};

struct NoteSettings {
  bool percussion = true;  // channel 10 counts
  bool sustain = false;    // a note-off under a pedal that is down takes effect when the pedal goes up
};

// Buffers keep their memory from one file to the next.
struct NoteList {
  struct Track {
    size_t first_note = 0, notes = 0;  // a run of NoteList::notes, by onset, in file order where onsets are equal
  };
  std::vector<Track> tracks;  // as MidiFile's
  std::vector<Note> notes;
};

// A note for every note-on. Of one pitch one note sounds at a time, within a track or, in a file of format 0, within a channel.
void pair_notes(const MidiFile& file, const NoteSettings& settings, NoteList& into);

}  // namespace poph
