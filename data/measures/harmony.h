#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "tensor/note_features.h"

// The harmony loss (MODEL.md "Losses") as tables of numbers: its settings, what each pitch class costs in each key, and
// the fold of notes into pitch classes. The loss (nn/losses.h) and the measure of finished music (measures.h) share it.
namespace poph {

enum class HarmonyInput { softmax, raw };
enum class HarmonyMatrix { diatonic, harmonic_minor, melodic_minor, triad, krumhansl };
enum class HarmonyReduction { mean, mean_square };

struct HarmonySettings {
  HarmonyInput input = HarmonyInput::softmax;
  HarmonyMatrix matrix = HarmonyMatrix::diatonic;
  int64_t span = 1;
  HarmonyReduction reduction = HarmonyReduction::mean;
};

constexpr int64_t keys = 2 * pitch_classes;  // 0-11: major on C, C#, ..; 12-23: minor

// Krumhansl and Kessler 1982, from the tonic up.
constexpr std::array<double, 12> major_profile{6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88};
constexpr std::array<double, 12> minor_profile{6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17};

// [24 keys * 12 pitch classes]: the cost of a pitch class in a key.
inline std::vector<double> disharmony_matrix(HarmonyMatrix kind) {
  const auto outside = [](std::initializer_list<int> inside) {
    std::array<double, 12> cost;
    cost.fill(1);
    for (int degree : inside) cost[degree] = 0;
    return cost;
  };
  const auto against = [](const std::array<double, 12>& profile) {
    std::array<double, 12> cost;
    for (int i = 0; i < 12; ++i) cost[i] = 1 - profile[i] / profile[0];  // the tonic is the largest
    return cost;
  };
  std::array<double, 12> major = outside({0, 2, 4, 5, 7, 9, 11}), minor = outside({0, 2, 3, 5, 7, 8, 10});
  switch (kind) {
    case HarmonyMatrix::diatonic:
      break;
    case HarmonyMatrix::harmonic_minor:
      minor = outside({0, 2, 3, 5, 7, 8, 11});
      break;
    case HarmonyMatrix::melodic_minor:
      minor = outside({0, 2, 3, 5, 7, 9, 11});
      break;
    case HarmonyMatrix::triad:
      major = outside({0, 4, 7});
      minor = outside({0, 3, 7});
      break;
    case HarmonyMatrix::krumhansl:
      major = against(major_profile);
      minor = against(minor_profile);
      break;
  }
  std::vector<double> matrix(keys * pitch_classes);
  for (int key = 0; key < keys; ++key)
    for (int pitch_class = 0; pitch_class < pitch_classes; ++pitch_class) {
      const int degree = (pitch_class - key % 12 + 12) % 12;
      matrix[key * pitch_classes + pitch_class] = key < 12 ? major[degree] : minor[degree];
    }
  return matrix;
}

// [12 * notes]: 1 where a note is of a pitch class.
inline std::vector<double> fold_matrix(int64_t lowest_note, int64_t notes) {
  std::vector<double> matrix(notes * pitch_classes, 0.0);
  for (int64_t note = 0; note < notes; ++note) matrix[(lowest_note + note) % pitch_classes * notes + note] = 1;
  return matrix;
}

}  // namespace poph
