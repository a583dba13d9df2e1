#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/music/roll.h"

// What the page of `poph play` asks for, as JSON from a browser: trusted in nothing. The notes that were drawn, and how
// they are to be gone on with. README "The page" has an example.
namespace poph {

// A body of a request has so many bytes at most, a drawn piece so many notes and steps, and a request so many bars and
// particles. All steps together, those drawn and those composed, are at most max_play_steps, too.
inline constexpr int64_t max_play_body = 1 << 20, max_play_notes = 16384, max_play_steps = 8192, max_play_bars = 256,
                         max_play_particles = 256, max_play_sounding = 1 << 20;

struct DrawnNote {
  int64_t pitch = 0, step = 0, length = 1, velocity = 80;  // pitch and velocity: MIDI's

  bool operator==(const DrawnNote&) const = default;
};

struct PlayRequest {
  std::vector<DrawnNote> notes;     // [[pitch, step, length, velocity], ..]
  std::vector<MeterChange> meters;  // [[step, numerator, denominator], ..], by step
  // What of the notes is given: the highest of each step, the lowest, these bars ("1-2,5-8"), or all of them as what
  // comes before.
  bool melody = false, bass = false, before = false;
  std::string keep_bars;
  int64_t bars = 8, most_notes = 0, particles = 32, seed = 1;
  double temperature = 1, tempo = 120;
  std::string scale;                                  // as generate.scale; empty: any notes
  std::vector<std::pair<std::string, double>> style;  // {"baroque": 0.7, ..}; empty: equal shares

  bool operator==(const PlayRequest&) const = default;
};

// Members may be absent and then have the defaults above. Error: one sentence for who plays.
PlayRequest parse_play_request(std::string_view body);
std::string to_json_text(const PlayRequest& request);

// The drawn notes as a piece of this range. A note that begins while its pitch sounds strikes it again. Error: a note
// is outside of the range.
Roll drawn_roll(const PlayRequest& request, int64_t lowest_note, int64_t notes);
std::vector<DrawnNote> drawn_notes(const Roll& roll);  // by step, then by pitch

}  // namespace poph
