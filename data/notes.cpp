#include "data/notes.h"

#include <array>
#include <span>

namespace poph {
namespace {

constexpr size_t pitches = 128, channels = 16;
constexpr int64_t still_sounds = -1;  // as a duration
constexpr uint8_t no_channel = 0xFF;

class Pairing {
 public:
  Pairing(const MidiFile& file, const NoteSettings& settings, Note* room)
      : settings_(settings), channel_bits_(file.format == 0 ? channels - 1 : 0), next_(room) {
    sounding_.fill(&nothing_);
    held_by_.fill(no_channel);
  }

  Note* next() const { return next_; }

  void read(std::span<const MidiEvent> events, int64_t end_tick) {
    Note *const first = next_, *next = first;
    pedal_down_.fill(false);
    for (const auto& event : events) {
      if (event.channel == percussion_channel && !settings_.percussion) continue;
      if (event.kind == controller_kind) {
        if (settings_.sustain) move_pedal(event);
        continue;
      }
      const bool on = event.kind == note_on_kind;
      const size_t place = place_of(event.channel, event.key);
      if (pedal_down_[event.channel] && !on) {
        held_by_[place] = event.channel;
        continue;
      }
      // Without a branch, which would be taken at random: a note-off writes a note too that the next one replaces, and where no
      // note sounds, `nothing_` ends.
      end(place, event.tick);
      *next = {event.tick, still_sounds, event.channel, event.key, event.value};
      sounding_[place] = on ? next : &nothing_;
      next += on;
    }
    next_ = next;
    for (const Note& note : std::span(first, next))
      if (note.duration == still_sounds) end(place_of(note.channel, note.pitch), end_tick);
  }

 private:
  size_t place_of(uint8_t channel, uint8_t pitch) const { return (channel & channel_bits_) * pitches + pitch; }

  void end(size_t place, int64_t tick) {
    Note*& note = sounding_[place];
    note->duration = tick - note->onset;
    note = &nothing_;
    held_by_[place] = no_channel;
  }

  void move_pedal(const MidiEvent& event) {
    const bool down = event.value >= 64;
    if (!down && pedal_down_[event.channel])
      for (size_t pitch = 0; pitch < pitches; ++pitch) {
        const size_t place = place_of(event.channel, static_cast<uint8_t>(pitch));
        if (held_by_[place] == event.channel) end(place, event.tick);
      }
    pedal_down_[event.channel] = down;
  }

  const NoteSettings& settings_;
  const size_t channel_bits_;  // of a channel: those that tell where its notes sound
  Note nothing_;
  std::array<Note*, channels * pitches> sounding_;
  std::array<uint8_t, channels * pitches> held_by_;  // the channel whose pedal keeps a note on after its note-off
  std::array<bool, channels> pedal_down_{};
  Note* next_;
};

}  // namespace

void pair_notes(const MidiFile& file, const NoteSettings& settings, NoteList& into) {
  size_t room = 1;  // for the notes, and one to write over
  for (const auto& event : file.events) room += event.kind == note_on_kind;
  into.notes.resize(room);
  into.tracks.clear();
  Pairing pairing(file, settings, into.notes.data());
  for (const auto& track : file.tracks) {
    Note* const first = pairing.next();
    pairing.read(std::span(file.events).subspan(track.first_event, track.events), track.end_tick);
    into.tracks.push_back({static_cast<size_t>(first - into.notes.data()), static_cast<size_t>(pairing.next() - first)});
  }
  into.notes.resize(static_cast<size_t>(pairing.next() - into.notes.data()));
}

}  // namespace poph
