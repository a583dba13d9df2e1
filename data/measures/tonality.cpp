#include "data/measures/tonality.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "data/measures/harmony.h"

namespace poph {
namespace {

constexpr const char* names[12] = {"C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B"};

// Pearson's r of a histogram with a profile that is moved up to `tonic`; NaN where the histogram is flat.
double correlation(const PitchClasses& histogram, const PitchClasses& profile, int tonic) {
  const double mean_h = std::accumulate(histogram.begin(), histogram.end(), 0.0) / 12;
  const double mean_p = std::accumulate(profile.begin(), profile.end(), 0.0) / 12;
  double product = 0, square_h = 0, square_p = 0;
  for (int i = 0; i < 12; ++i) {
    const double h = histogram[(i + tonic) % 12] - mean_h, p = profile[i] - mean_p;
    product += h * p;
    square_h += h * h;
    square_p += p * p;
  }
  constexpr double rounding = 1e-24;  // of sums that should be 0
  return square_h > rounding * mean_h * mean_h ? product / std::sqrt(square_h * square_p) : std::nan("");
}

void divide(PitchClasses& histogram, double by) {
  for (double& share : histogram) share /= by;
}

}  // namespace

const std::array<KeyProfile, 5> key_profiles{{
    {"krumhansl", major_profile, minor_profile},
    {"temperley",
     {.748, .060, .488, .082, .670, .460, .096, .715, .104, .366, .057, .400},
     {.712, .084, .474, .618, .049, .460, .105, .747, .404, .067, .133, .330}},
    {"aarden",
     {17.7661, .145624, 14.9265, .160186, 19.8049, 11.3587, .291248, 22.062, .145624, 8.15494, .232998, 4.95122},
     {18.2648, .737619, 14.0499, 16.8599, .702494, 14.4362, .702494, 18.6161, 4.56621, 1.93186, 7.37619, 1.75623}},
    {"bellman",
     {16.80, .86, 12.95, 1.41, 13.49, 11.93, 1.25, 20.28, 1.80, 8.04, .62, 10.57},
     {18.16, .69, 12.99, 13.34, 1.07, 11.15, 1.38, 21.07, 7.49, 1.53, .92, 10.21}},
    {"simple", {2, 0, 1, 0, 1, 1, 0, 2, 0, 1, 0, 1}, {2, 0, 1, 1, 0, 1, 0, 2, 1, 0, .5, .5}},
}};

KeyFit best_key(const PitchClasses& histogram, const KeyProfile& profile) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  KeyFit best{-1, none, 0};
  double second = none;
  for (int key = 0; key < keys; ++key) {
    const double r = correlation(histogram, key < 12 ? profile.major : profile.minor, key % 12);
    if (std::isnan(r)) return {-1, r, r};
    if (r > best.r) {
      second = best.r;
      best.key = key;
      best.r = r;
    } else {
      second = std::max(second, r);
    }
  }
  best.margin = best.r - second;
  return best;
}

const char* pitch_class_name(int pitch_class) { return names[pitch_class]; }

std::string key_name(int key) { return key < 0 ? "" : std::string(names[key % 12]) + (key < 12 ? " major" : " minor"); }

double in_scale(const PitchClasses& histogram, int key) {
  // a natural minor scale is that of the major key a minor third above
  const int major = key < 12 ? key : key - 12 + 3;
  double inside = 0;
  for (int degree : {0, 2, 4, 5, 7, 9, 11}) inside += histogram[(major + degree) % 12];
  return inside / std::accumulate(histogram.begin(), histogram.end(), 0.0);
}

Tonality tonality(const Roll& roll) { return tonality(note_spans(roll)); }

Tonality tonality(std::span<const NoteSpan> notes) {
  Tonality result{};
  double cells = 0;
  for (const NoteSpan& note : notes) {
    const auto length = static_cast<double>(note.end - note.onset);
    ++result.pitch_classes[note.pitch % 12];
    result.durations[note.pitch % 12] += length;
    cells += length;
  }
  result.notes = std::ssize(notes);
  if (result.notes == 0) return result;
  divide(result.pitch_classes, static_cast<double>(result.notes));
  divide(result.durations, cells);
  result.key = key_name(best_key(result.durations, key_profiles[0]).key);
  for (int key = 0; key < 12; ++key) result.in_key = std::max(result.in_key, in_scale(result.pitch_classes, key));
  return result;
}

Tonality tonality(const std::vector<std::shared_ptr<const Roll>>& rolls) {
  Tonality all{};
  for (const auto& roll : rolls) {
    const Tonality one = tonality(*roll);
    const auto weight = static_cast<double>(one.notes);
    all.notes += one.notes;
    all.in_key += one.in_key * weight;
    for (int i = 0; i < 12; ++i) {
      all.pitch_classes[i] += one.pitch_classes[i] * weight;
      all.durations[i] += one.durations[i] * weight;
    }
  }
  if (all.notes == 0) return all;
  all.in_key /= static_cast<double>(all.notes);
  divide(all.pitch_classes, static_cast<double>(all.notes));
  divide(all.durations, static_cast<double>(all.notes));
  return all;
}

double histogram_distance(const PitchClasses& a, const PitchClasses& b) {
  double total = 0;
  for (int i = 0; i < 12; ++i) total += std::abs(a[i] - b[i]);
  return total / 2;
}

}  // namespace poph
