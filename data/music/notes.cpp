#include "data/music/notes.h"

#include <array>
#include <span>

#include "data/music/controls.h"
#include "data/music/step_map.h"

namespace poph {
namespace {

constexpr size_t pitches = 128, channels = 16;
constexpr int64_t still_sounds = -1;                     // as a duration
constexpr int64_t never_restruck = -(int64_t{1} << 60);  // before any tick

// Pairs the note-ons and note-offs of one track after the other.
class Pairing {
 public:
  Pairing(const MidiFile& file, const RollSettings& settings, NoteList& into)
      : file_(file), settings_(settings), into_(into), next_(into.notes.data()) {
    voices_.fill({&nothing_, never_restruck});
  }

  Note* next() const { return next_; }

  void read(const MidiTrack& track, const Controls& controls, const StepMap& steps) {
    Note* const first = next_;
    if (controls.any()) endings_.resize(voices_.size());
    for (uint32_t i = track.first_event; i < track.first_event + track.events; ++i) {
      const MidiEvent& event = file_.events[i];
      if (event.channel == percussion_channel && !settings_.percussion) {
        into_.percussion_notes += event.kind == note_on_kind;
        continue;
      }
      if (event.kind == controller_kind) continue;
      if (controls.any(event.channel)) {
        read_under_controls(event, i, controls, steps);
        continue;
      }
      const bool on = event.kind == note_on_kind;
      Voice& voice = voice_of(event.channel, event.key);
      if (!on && is_late(voice, event.tick, steps)) [[unlikely]]
        continue;
      // Without a branch, which no processor could predict: a note-off writes a note too, which the next one replaces,
      // and ends `nothing_` where no note sounds.
      const bool again = voice.note != &nothing_;
      voice.note->duration = event.tick - voice.note->onset;
      *next_ = {event.tick, still_sounds, event.channel, event.key, event.value};
      voice = {on ? next_ : &nothing_, on && again ? event.tick : never_restruck};
      next_ += on;
    }
    for (Note& note : std::span(first, next_))
      if (note.duration == still_sounds)
        end(voice_of(note.channel, note.pitch), last_tick(note, track.end_tick, controls));
  }

 private:
  struct Voice {
    Note* note = nullptr;                  // that sounds, or &nothing_
    int64_t restruck_at = never_restruck;  // where its key was down already; until that stroke's note-off has come
  };
  // Of a voice whose channel has controllers.
  struct Ending {
    EventPlace at = never;  // where the note will end by a controller
    bool key_down = false;  // no note-off yet
  };

  static size_t index(uint8_t channel, uint8_t pitch) { return channel * pitches + pitch; }
  Voice& voice_of(uint8_t channel, uint8_t pitch) { return voices_[index(channel, pitch)]; }

  // True for the first note-off that comes less than half a step after a re-strike: it is the earlier note's.
  static bool is_late(Voice& voice, int64_t tick, const StepMap& steps) {
    if (voice.restruck_at == never_restruck || !steps.within_half_a_step(voice.restruck_at, tick)) return false;
    voice.restruck_at = never_restruck;
    return true;
  }

  void end(Voice& voice, int64_t tick) {
    voice.note->duration = tick - voice.note->onset;
    voice = {&nothing_, never_restruck};
  }

  void read_under_controls(const MidiEvent& event, uint32_t i, const Controls& controls, const StepMap& steps) {
    const EventPlace at{event.tick, i};
    Voice& voice = voice_of(event.channel, event.key);
    Ending& ending = endings_[index(event.channel, event.key)];
    if (voice.note != &nothing_ && ending.at < at) end(voice, ending.at.tick);
    const bool down = voice.note != &nothing_ && ending.key_down;
    if (event.kind == note_on_kind) {
      if (voice.note != &nothing_) end(voice, event.tick);
      *next_ = {event.tick, still_sounds, event.channel, event.key, event.value};
      voice = {next_++, down ? event.tick : never_restruck};
      ending = {controls.end_after(event.channel, at), true};
    } else if (down && !is_late(voice, event.tick, steps)) {
      const EventPlace release = controls.release(event.channel, at);
      ending = {std::min(ending.at, release), false};
      if (release == at) end(voice, event.tick);
    }
  }

  // Of a note that no event of its track has ended: a key that is down ends with its track, a pedal may hold it longer.
  int64_t last_tick(const Note& note, int64_t track_end, const Controls& controls) const {
    if (!controls.any(note.channel)) return track_end;
    const Ending& ending = endings_[index(note.channel, note.pitch)];
    return ending.key_down ? std::min(ending.at.tick, track_end) : ending.at.tick;
  }

  const MidiFile& file_;
  const RollSettings& settings_;
  NoteList& into_;
  Note nothing_;
  std::array<Voice, channels * pitches> voices_;
  std::vector<Ending> endings_;
  Note* next_;
};

}  // namespace

void pair_notes(const MidiFile& file, const RollSettings& settings, NoteList& into) {
  size_t room = 1;  // for the notes, and one to write over
  for (const auto& event : file.events) room += event.kind == note_on_kind;
  into.notes.resize(room);
  into.tracks.clear();
  into.percussion_notes = 0;
  Pairing pairing(file, settings, into);
  const auto read = [&](const MidiTrack& track, const Controls& controls, const StepMap& steps) {
    Note* const first = pairing.next();
    pairing.read(track, controls, steps);
    into.tracks.push_back(
        {static_cast<size_t>(first - into.notes.data()), static_cast<size_t>(pairing.next() - first)});
  };
  if (file.format == 2) {  // each track is a piece of its own
    for (const MidiTrack& track : file.tracks)
      read(track, Controls(file, track.first_event, track.first_event + track.events, track.end_tick, settings),
           StepMap(file, file.tempos_of(track), settings));
  } else {
    const Controls controls(file, 0, static_cast<uint32_t>(file.events.size()), file.last_tick(), settings);
    const StepMap steps(file, file.tempos, settings);
    for (const MidiTrack& track : file.tracks) read(track, controls, steps);
  }
  into.notes.resize(static_cast<size_t>(pairing.next() - into.notes.data()));
}

}  // namespace poph
