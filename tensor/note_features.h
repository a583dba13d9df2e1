#pragma once
#include <cstdint>

#include "tensor/host_device.h"

// The sizes of a note's features: MODEL.md "Note features".
namespace poph {

constexpr int64_t pitch_classes = 12;  // C, C#, .., B
constexpr int64_t beat_width = 16;     // of the vector that says where in its bar a step lies

// Position, one-hot pitch class, how many notes of that class sound, the octave convolution's units, the beat.
POPH_HD constexpr int64_t note_feature_width(int64_t octave_units) {
  return 1 + pitch_classes + 1 + octave_units + beat_width;
}

// Of the notes that sound, how many are 1, 2, .., 11 semitones above a note, in any octave.
constexpr int64_t relative_classes = pitch_classes - 1;

// Match features of a note (MODEL.md "Match features"): those of the exact match, then of the transposed one, each
// (s (2 p - 1), p, replay, volume); of a model of play alone the first two.
constexpr int64_t match_kinds = 2;
constexpr int64_t match_features(int64_t channels) { return match_kinds * (channels == 1 ? 2 : 4); }

}  // namespace poph
