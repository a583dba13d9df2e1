#include "data/music/midi.h"
#include "experiments/play/request.h"
#include "tests/fuzz/fuzz.h"

// What a browser asks of `poph play`: the request, its notes as a piece, and the piece as a MIDI file and back.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace poph;
  using namespace poph::fuzz;
  PlayRequest request;
  if (!reads([&] { request = parse_play_request({reinterpret_cast<const char*>(data), size}); })) return 0;
  promise(std::ssize(request.notes) <= max_play_notes && request.bars >= 1 && request.bars <= max_play_bars &&
              request.particles >= 1 && request.particles <= max_play_particles,
          "what is asked for is within its bounds");
  promise(request.temperature > 0 && request.tempo > 0 && request.seed >= 0, "numbers make sense");
  promise(parse_play_request(to_json_text(request)) == request, "what is written is read back");
  RollSettings settings;
  if (input_hash(data, size) & 1) settings.lowest_note = 0, settings.notes = 128;
  Roll roll;
  if (!reads([&] { roll = drawn_roll(request, settings.lowest_note, settings.notes); })) return 0;
  promise(roll.steps() <= max_play_steps, "a piece is within its bounds");
  int64_t sounding = 0;
  for (const DrawnNote& note : drawn_notes(roll)) sounding += note.length;
  promise(sounding == roll.sounding_cells(), "the notes of the piece are all that sounds");
  for (const DrawnNote& note : request.notes)
    for (const int64_t step : {note.step, note.step + note.length - 1})
      promise(roll.cell(step, note.pitch - settings.lowest_note) != 0, "each note sounds from its begin to its end");
  const Roll back = decode(parse_midi(encode(roll)), settings);
  promise(back.steps() == roll.steps() && back.packed_play().size() == roll.packed_play().size() &&
              std::equal(back.packed_play().begin(), back.packed_play().end(), roll.packed_play().begin()) &&
              back.replays() == roll.replays(),
          "the MIDI file has the same notes");
  return 0;
}
