#pragma once
#include <array>
#include <memory>
#include <span>
#include <vector>

#include "data/music/roll.h"

// How alike two sets of pieces are, by Yang and Lerch, "On the evaluation of generative models in music" (2018), with
// one grid for both densities. Their code (mgeval) compares each on a range of its own.
namespace poph {

inline constexpr std::array<const char*, 9> feature_names = {
    "pitch_count",    "note_count",           "pitch_class_histogram", "pitch_class_transition", "pitch_range",
    "pitch_interval", "inter_onset_interval", "note_length_histogram", "note_length_transition"};

// The features of one piece, as mgeval has them but in steps of our grid, notes in the order of note_spans(): different
// pitches; notes; share of the sounding time of each pitch class; how often a note of class a ends where one of class b
// begins [12 x 12]; semitones from lowest to highest; mean distance of successive notes in semitones, and of their
// onsets in steps; share of the notes whose length is nearest to a whole, half, quarter, 8th, 16th, a dotted one of the
// latter four, a triplet half, quarter, 8th; how often one such length follows another [12 x 12].
//
// Empty where there is nothing to count.
std::array<std::vector<double>, feature_names.size()> features(const Roll& roll, int64_t steps_per_quarter);

// The integral of the lower of two densities: Gaussian kernel estimates with Scott's bandwidth, at 1,000 points from
// three bandwidths below all of the numbers to three above. 1: alike, 0: apart. NaN where a set has fewer than two
// numbers, or all alike.
double overlap_area(std::span<const double> a, std::span<const double> b);

// For each feature the overlap area between the distances of all pairs of references and those of every sample to every
// reference.
std::array<double, feature_names.size()> overlap_areas(std::span<const std::shared_ptr<const Roll>> samples,
                                                       std::span<const std::shared_ptr<const Roll>> references,
                                                       int64_t steps_per_quarter);

// Parts of `steps` steps, one behind the other, so that pieces can be compared with samples of that length; a shorter
// rest counts if it has at least half of them, and a short piece in any case. Of more than max_count parts evenly
// chosen ones are taken.
std::vector<std::shared_ptr<const Roll>> excerpts(std::span<const std::shared_ptr<const Roll>> pieces, int64_t steps,
                                                  size_t max_count);

// At most max_count of them, evenly chosen, the first one included.
std::vector<std::shared_ptr<const Roll>> pick_evenly(std::span<const std::shared_ptr<const Roll>> rolls,
                                                     size_t max_count);

}  // namespace poph
