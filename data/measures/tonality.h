#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/music/roll.h"

// The key of music, and its pitch classes: the plainest measures of how samples resemble a corpus.
namespace poph {

using PitchClasses = std::array<double, 12>;  // a number for each of C, C#, .., B

// How much each pitch class belongs to a key, from the tonic up. The numbers are those of music21's
// analysis/discrete.py.
struct KeyProfile {
  const char* name;
  PitchClasses major, minor;
};
// krumhansl (Krumhansl and Kessler 1982) first, temperley, aarden, bellman, simple
extern const std::array<KeyProfile, 5> key_profiles;

// The one of all 24 keys whose profile correlates best (Pearson's r) with a histogram; margin is its lead on the second
// best. A histogram without any peak fits no key: then key is -1, r and margin are NaN.
struct KeyFit {
  int key = -1;  // 0-11: major on C, C#, ..; 12-23: minor
  double r = 0, margin = 0;
};
KeyFit best_key(const PitchClasses& histogram, const KeyProfile& profile);

const char* pitch_class_name(int pitch_class);  // "C", "C#", .., "B"

std::string key_name(int key);  // "C major", "F# minor"; nothing for -1

// Share of a histogram that lies in a key's major or natural minor scale. NaN for an empty one.
double in_scale(const PitchClasses& histogram, int key);

struct Tonality {
  int64_t notes = 0;             // note-ons, replays included
  PitchClasses pitch_classes{};  // share of the notes on C, C#, .., B
  PitchClasses durations{};      // share of the sounding cells: every note as long as it lasts
  std::string key;               // of the durations, by the krumhansl profile; empty when nothing sounds
  double in_key = 0;             // share of the notes in the best-fitting diatonic scale
};

Tonality tonality(const Roll& roll);
Tonality tonality(std::span<const NoteSpan> notes);  // of a piece

// Over many pieces: histograms and in_key weighted by notes; each piece has its own best-fitting scale; key is left
// empty.
Tonality tonality(const std::vector<std::shared_ptr<const Roll>>& rolls);

// Half the sum of absolute differences of two histograms: 0 for equal ones, 1 for ones that share nothing.
double histogram_distance(const PitchClasses& a, const PitchClasses& b);

}  // namespace poph
