#pragma once
#include <cstdint>
#include <vector>

#include "data/music/roll.h"

// From events to notes (MODEL.md "Piano roll").
namespace poph {

// One stroke of a key, as long as it sounds.
struct Note {
  int64_t onset = 0, duration = 0;  // ticks; a note may have no length
  uint8_t channel = 0, pitch = 0, velocity = 0;
};

// A reader of many files uses one again and again: its vectors keep their memory.
struct NoteList {
  struct Track {
    size_t first_note = 0, notes = 0;  // a run of NoteList::notes, by onset, in file order where onsets are equal
  };
  std::vector<Track> tracks;  // as MidiFile's
  std::vector<Note> notes;
  int64_t percussion_notes = 0;  // note-ons of channel 10 that were skipped
};

// A note for every note-on, of channel 10 where `settings` ask for it. Of one pitch one note sounds at a time within a
// channel of a track.
void pair_notes(const MidiFile& file, const RollSettings& settings, NoteList& into);

}  // namespace poph
