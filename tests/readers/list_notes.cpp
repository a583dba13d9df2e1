// list_notes: reads paths of MIDI files, a line each, and prints what check_readers.py compares with other readers:
//   file PATH                                     or  refused PATH: REASON
//   end TRACK TICK                                a track's end
//   off CHANNEL TICK                              controller 120 or 123
//   note TRACK CHANNEL PITCH VELOCITY ONSET END   in ticks, with percussion, without the pedal
#include <fmt/format.h>

#include <iostream>
#include <string>

#include "data/music/notes.h"

int main() {
  using namespace poph;
  const RollSettings settings{.percussion = true};
  NoteList list;
  for (std::string path; std::getline(std::cin, path);) {
    try {
      const MidiFile file = read_midi_file(path);
      fmt::print("file {}\n", path);
      for (size_t t = 0; t < file.tracks.size(); ++t) fmt::print("end {} {}\n", t, file.tracks[t].end_tick);
      for (const MidiEvent& event : file.events)
        if (event.kind == controller_kind && (event.key == all_sound_off || event.key == all_notes_off))
          fmt::print("off {} {}\n", event.channel, event.tick);
      pair_notes(file, settings, list);
      for (size_t t = 0; t < list.tracks.size(); ++t)
        for (size_t i = 0; i < list.tracks[t].notes; ++i) {
          const Note& note = list.notes[list.tracks[t].first_note + i];
          fmt::print("note {} {} {} {} {} {}\n", t, note.channel, note.pitch, note.velocity, note.onset,
                     note.onset + note.duration);
        }
    } catch (const Error& error) {
      fmt::print("refused {}: {}\n", path, error.what());
    }
  }
}
