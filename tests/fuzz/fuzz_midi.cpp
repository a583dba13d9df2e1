#include <cstring>

#include "data/music/notes.h"
#include "data/music/roll.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/plain_midi.h"

// A MIDI file to events, notes and a roll, and the roll to a file again; every sixteenth input also by the plain twin.
namespace poph::fuzz {
namespace {

RollSettings settings_for(uint64_t hash) {
  RollSettings settings{.percussion = (hash & 1) != 0, .sustain = (hash & 2) != 0};
  if (hash & 4) settings.lowest_note = 0, settings.notes = 128;
  if (hash & 8) settings.steps_per_quarter = 24;
  if (hash & 16) settings.quantize = Quantize::floor;
  return settings;
}

// As data/music/midi.h bounds them.
void check_sizes(const MidiFile& file, size_t size) {
  promise(file.events.size() * 3 <= size, "an event takes three bytes or more");
  promise(file.tempos.size() * 7 <= size, "a tempo takes seven bytes or more");
  promise(file.signatures.size() * 6 <= size, "a time signature takes six bytes or more");
  promise(file.tracks.size() * 8 <= size, "a track takes eight bytes or more");
  promise(file.damage == Damage::none || file.damage_at <= size, "damage lies in the file");
  size_t next = 0;
  for (const auto& track : file.tracks) {
    promise(track.first_event == next, "tracks follow each other");
    int64_t tick = 0;
    for (next += track.events; const auto& event : std::span(file.events).subspan(track.first_event, track.events)) {
      promise(event.tick >= tick && event.tick <= track.end_tick, "ticks do not fall, and end with the track");
      promise(event.key < 128 && event.value < 128 && event.channel < 16, "data bytes are below 128");
      tick = event.tick;
    }
  }
  promise(next == file.events.size(), "every event is of a track");
}

void check_notes(const MidiFile& file, const NoteList& list) {
  promise(list.tracks.size() == file.tracks.size(), "a run of notes for each track");
  for (const Note& note : list.notes)
    promise(note.onset >= 0 && note.duration >= 0 && note.onset + note.duration <= file.last_tick(),
            "notes end with the file");
}

void check_written(const Roll& roll, const RollSettings& settings) {
  const auto bytes = encode(roll, {.steps_per_quarter = settings.steps_per_quarter});
  MidiFile file;
  parse_midi(bytes, file);
  promise(file.damage == Damage::none, "what is written is read without complaint");
  promise(decode(file, {.lowest_note = settings.lowest_note,
                        .notes = settings.notes,
                        .steps_per_quarter = settings.steps_per_quarter})
                  .sounding_cells() == roll.sounding_cells(),
          "a roll sounds as much when it is read back");
}

}  // namespace
}  // namespace poph::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poph;
  using namespace poph::fuzz;
  static MidiFile file;  // reused as the corpus' readers do
  static NoteList list;
  const uint64_t hash = input_hash(data, size);
  const RollSettings settings = settings_for(hash);
  if (hash / 32 % 16 == 0) {
    test::Compared compared;
    const std::string apart = test::difference({data, data + size}, settings, compared);
    promise(apart.empty(), "the plain twin reads alike: " + apart);
  }
  if (!reads([&] { parse_midi({data, size}, file); })) return 0;
  check_sizes(file, size);
  promise(file.seconds() >= 0, "a file lasts no less than no time");
  pair_notes(file, settings, list);
  check_notes(file, list);
  // Most of the time would go into silence: of long pieces one in sixty-four is made a roll.
  if (file.last_tick() / std::max<int64_t>(file.ticks_per_quarter, 1) > 256 && hash / 512 % 64 != 0) return 0;
  Roll roll;
  if (!reads([&] { roll = decode(file, settings); })) return 0;
  promise(roll.steps() <= free_steps + steps_per_event * std::ssize(file.events), "steps are accounted for by events");
  if (roll.steps() <= 256) check_written(roll, settings);
  return 0;
}

// Three times of four the chunks' lengths are made to fit, so that faults are found behind them.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 4 == 0) return size;
  size_t end = size;
  for (size_t at = size < 8 ? 0 : size - 7; at-- > 0;) {
    const bool header = std::memcmp(data + at, "MThd", 4) == 0;
    if (!header && std::memcmp(data + at, "MTrk", 4) != 0) continue;
    const size_t length = header ? 6 : end - at - 8;
    for (int i = 0; i < 4; ++i) data[at + 4 + i] = static_cast<uint8_t>(length >> (24 - 8 * i));
    end = at;
  }
  return size;
}
