#include "data/tonality.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nn/harmony.h"

namespace poph {
namespace {

constexpr const char* names[12] = {"C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"};

double correlation(const std::array<double, 12>& histogram, const std::array<double, 12>& profile, int tonic) {
  const double mean_h = std::accumulate(histogram.begin(), histogram.end(), 0.0) / 12;
  const double mean_p = std::accumulate(profile.begin(), profile.end(), 0.0) / 12;
  double product = 0, square_h = 0, square_p = 0;
  for (int i = 0; i < 12; ++i) {
    const double h = histogram[(i + tonic) % 12] - mean_h, p = profile[i] - mean_p;
    product += h * p;
    square_h += h * h;
    square_p += p * p;
  }
  return square_h > 0 ? product / std::sqrt(square_h * square_p) : 0;
}

}  // namespace

Tonality tonality(const Roll& roll) {
  Tonality result;
  std::vector<Cell> cells(roll.notes()), before(roll.notes(), 0);
  for (int64_t step = 0; step < roll.steps(); ++step) {
    roll.row(step, cells);
    for (int64_t note = 0; note < roll.notes(); ++note)
      if (cells[note] && (!before[note] || (cells[note] & replay_bit))) {
        ++result.pitch_classes[(roll.lowest_note() + note) % 12];
        ++result.notes;
      }
    std::swap(cells, before);
  }
  if (result.notes == 0) return result;
  for (double& share : result.pitch_classes) share /= static_cast<double>(result.notes);
  double best = -2;
  for (int mode = 0; mode < 2; ++mode)
    for (int tonic = 0; tonic < 12; ++tonic) {
      const double fit = correlation(result.pitch_classes, mode ? minor_profile : major_profile, tonic);
      if (fit > best) {
        best = fit;
        result.key = std::string(names[tonic]) + (mode ? " minor" : " major");
      }
    }
  for (int tonic = 0; tonic < 12; ++tonic) {  // natural minor scales are the same twelve sets
    double inside = 0;
    for (int degree : {0, 2, 4, 5, 7, 9, 11}) inside += result.pitch_classes[(tonic + degree) % 12];
    result.in_key = std::max(result.in_key, inside);
  }
  return result;
}

Tonality tonality(const std::vector<std::shared_ptr<const Roll>>& rolls) {
  Tonality all;
  for (const auto& roll : rolls) {
    const Tonality one = tonality(*roll);
    all.notes += one.notes;
    all.in_key += one.in_key * static_cast<double>(one.notes);
    for (int i = 0; i < 12; ++i) all.pitch_classes[i] += one.pitch_classes[i] * static_cast<double>(one.notes);
  }
  if (all.notes == 0) return all;
  all.in_key /= static_cast<double>(all.notes);
  for (double& share : all.pitch_classes) share /= static_cast<double>(all.notes);
  return all;
}

double histogram_distance(const std::array<double, 12>& a, const std::array<double, 12>& b) {
  double total = 0;
  for (int i = 0; i < 12; ++i) total += std::abs(a[i] - b[i]);
  return total / 2;
}

}  // namespace poph
