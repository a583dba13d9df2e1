#pragma once
#include <array>
#include <span>

#include "data/measures/harmony.h"
#include "data/measures/tonality.h"

// Numbers that describe a piece, to compare samples with a corpus. Those of muspy (Dong et al. 2020) are what
// muspy 0.5 gives for the same notes at `steps_per_quarter` time steps a quarter and a bar of four quarters, its quirks
// included. NaN: nothing to count.
namespace poph {

struct Measures {
  double notes = 0;
  double pitch_range = 0;                             // semitones from the lowest to the highest note
  double pitches_used = 0, pitch_classes_used = 0;    // different ones
  double pitch_entropy = 0, pitch_class_entropy = 0;  // bits, of how many notes are of each; at most 7 and 3.585
  double scale_consistency = 0;    // share of the notes in the best of the major and natural minor scales
  double pitch_in_scale_rate = 0;  // the same for the scale of the key that the krumhansl profile finds
  double polyphony = 0;            // sounding notes, over the steps in which any sounds
  double polyphony_rate = 0;       // share of steps with three notes or more (muspy's "more than 2")
  // share of beats and of bars that no note touches; a note's end touches the beat that begins there
  double empty_beat_rate = 0, empty_bar_rate = 0;
  // 1 - share of positions where neighbouring bars differ in having an onset. A piece that ends on a bar line has one
  // bar more, without onsets
  double groove_consistency = 0;
  double repetition = 0;  // share of steps whose last bar stood earlier in the piece: repetition.h
  // loss.harmony of the notes themselves, with its default settings whatever the experiment's are
  double disharmony = 0;
  // the same with input "raw" and by bars: sounding notes a step that lie outside the nearest key of the bar
  double disharmony_bar = 0;
  // by key_profiles, of the durations. Of many pieces: the most frequent key, mean r and margin
  std::array<KeyFit, 5> keys;
};

// Calls f(name, number) for each, but not for the keys.
template <class M, class F>
void each_measure(M& m, F f) {
  f("notes", m.notes), f("pitch_range", m.pitch_range), f("pitches_used", m.pitches_used);
  f("pitch_classes_used", m.pitch_classes_used), f("pitch_entropy", m.pitch_entropy);
  f("pitch_class_entropy", m.pitch_class_entropy), f("scale_consistency", m.scale_consistency);
  f("pitch_in_scale_rate", m.pitch_in_scale_rate), f("polyphony", m.polyphony), f("polyphony_rate", m.polyphony_rate);
  f("empty_beat_rate", m.empty_beat_rate), f("empty_bar_rate", m.empty_bar_rate);
  f("groove_consistency", m.groove_consistency), f("repetition", m.repetition), f("disharmony", m.disharmony),
      f("disharmony_bar", m.disharmony_bar);
}

Measures measure(const Roll& roll, int64_t steps_per_quarter);

// The mean of each over the pieces where it is a number.
Measures mean_measures(std::span<const Measures> pieces);

// The harmony loss (MODEL.md "Losses") of a piece's own notes, played with certainty: over all of its steps, silent
// ones too. The last of its spans may be shorter. NaN for a piece without steps.
double disharmony(const Roll& roll, const HarmonySettings& settings);

}  // namespace poph
