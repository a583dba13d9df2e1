#include "data/measures.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "nn/harmony.h"

namespace poph {
namespace {

constexpr int64_t quarters_per_bar = 4;

template <size_t n>
double entropy(const std::array<double, n>& counts, double total) {
  double sum = 0;
  for (double count : counts)
    if (count > 0) sum -= count / total * std::log2(count / total);
  return total > 0 ? sum : std::nan("");
}

// Share of the units of so many steps that no stroke touches.
double empty_rate(std::span<const Stroke> strokes, int64_t end, int64_t unit) {
  if (end < 1) return std::nan("");
  std::vector<char> touched(end / unit + 1);
  for (const Stroke& stroke : strokes)
    std::fill(touched.begin() + stroke.onset / unit, touched.begin() + stroke.end / unit + 1, true);
  return static_cast<double>(std::count(touched.begin(), touched.end(), false)) / static_cast<double>(touched.size());
}

double groove(std::span<const Stroke> strokes, int64_t end, int64_t bar) {
  const int64_t bars = end / bar + 1;
  if (bars < 2) return std::nan("");
  std::vector<char> onset(bars * bar);
  for (const Stroke& stroke : strokes) onset[stroke.onset] = true;
  int64_t differing = 0;
  for (int64_t step = bar; step < bars * bar; ++step) differing += onset[step] != onset[step - bar];
  return 1 - static_cast<double>(differing) / static_cast<double>(bar * (bars - 1));
}

PitchClasses folded(const Roll& roll, int64_t step) {
  PitchClasses sums{};
  const auto words = roll.play_bits(step);
  for (int64_t word = 0; word < 2; ++word)
    for (uint64_t bits = words[word]; bits != 0; bits &= bits - 1)
      ++sums[(roll.lowest_note() + 64 * word + std::countr_zero(bits)) % 12];
  return sums;
}

void softmax(PitchClasses& x) {
  double sum = 0;
  for (double& value : x) sum += value = std::exp(value);
  for (double& value : x) value /= sum;
}

}  // namespace

double disharmony(const Roll& roll, const HarmonySettings& settings) {
  const std::vector<double> matrix = disharmony_matrix(settings.matrix);
  double total = 0;
  int64_t spans = 0;
  for (int64_t first = 0; first < roll.steps(); first += settings.span, ++spans) {
    const int64_t steps = std::min(settings.span, roll.steps() - first);
    PitchClasses mean{};  // the distance to a key is linear in this
    for (int64_t step = first; step < first + steps; ++step) {
      PitchClasses one = folded(roll, step);
      if (settings.input == HarmonyInput::softmax) softmax(one);
      for (int i = 0; i < 12; ++i) mean[i] += one[i] / static_cast<double>(steps);
    }
    double nearest = INFINITY;
    for (int key = 0; key < keys; ++key) {
      double distance = 0;
      for (int i = 0; i < 12; ++i) distance += matrix[key * pitch_classes + i] * mean[i];
      nearest = std::min(nearest, distance);
    }
    total += settings.reduction == HarmonyReduction::mean ? nearest : nearest * nearest;
  }
  return spans > 0 ? total / static_cast<double>(spans) : std::nan("");
}

Measures measure(const Roll& roll, int64_t steps_per_quarter) {
  const std::vector<Stroke> notes = strokes(roll);
  const Tonality tonal = tonality(notes);
  const int64_t bar = quarters_per_bar * steps_per_quarter;
  Measures m;
  std::array<double, 128> pitches{};
  int64_t end = 0;  // muspy's length: silence behind the last note does not count
  for (const Stroke& note : notes) {
    ++pitches[note.pitch];
    end = std::max(end, note.end);
  }
  m.notes = static_cast<double>(notes.size());
  const auto used = [](double x) { return x > 0; };
  m.pitches_used = static_cast<double>(std::count_if(pitches.begin(), pitches.end(), used));
  m.pitch_classes_used = static_cast<double>(std::count_if(tonal.pitch_classes.begin(), tonal.pitch_classes.end(), used));
  if (!notes.empty()) {
    const auto highest = std::find_if(pitches.rbegin(), pitches.rend(), used);
    m.pitch_range = static_cast<double>(highest.base() - 1 - std::find_if(pitches.begin(), pitches.end(), used));
  }
  m.pitch_entropy = entropy(pitches, m.notes);
  m.pitch_class_entropy = notes.empty() ? std::nan("") : entropy(tonal.pitch_classes, 1.0);
  m.scale_consistency = notes.empty() ? std::nan("") : tonal.in_key;

  double cells = 0, sounding = 0, many = 0;
  for (int64_t step = 0; step < end; ++step) {
    const auto bits = roll.play_bits(step);
    const int voices = std::popcount(bits[0]) + std::popcount(bits[1]);
    cells += voices;
    sounding += voices > 0;
    many += voices > 2;
  }
  m.polyphony = cells / sounding;
  m.polyphony_rate = many / static_cast<double>(end);
  m.empty_beat_rate = empty_rate(notes, end, steps_per_quarter);
  m.empty_bar_rate = empty_rate(notes, end, bar);
  m.groove_consistency = groove(notes, end, bar);
  m.disharmony = disharmony(roll, HarmonySettings{});
  m.disharmony_bar = disharmony(roll, HarmonySettings{.input = HarmonyInput::raw, .span = bar});
  for (size_t i = 0; i < key_profiles.size(); ++i) m.keys[i] = best_key(tonal.durations, key_profiles[i]);
  m.pitch_in_scale_rate = m.keys[0].key < 0 ? std::nan("") : in_scale(tonal.pitch_classes, m.keys[0].key);
  return m;
}

Measures mean_of(std::span<const Measures> pieces) {
  const auto mean = [&](const auto& number_of) {
    double sum = 0;
    int64_t count = 0;
    for (const Measures& piece : pieces)
      if (const double x = number_of(piece); !std::isnan(x)) sum += x, ++count;
    return count > 0 ? sum / static_cast<double>(count) : std::nan("");
  };
  Measures result;
  each_measure(result, [&](std::string_view wanted, double& into) {
    into = mean([&](const Measures& piece) {
      double found = 0;
      each_measure(piece, [&](std::string_view name, double x) { found = name == wanted ? x : found; });
      return found;
    });
  });
  for (size_t profile = 0; profile < key_profiles.size(); ++profile) {
    KeyFit& fit = result.keys[profile];
    fit.r = mean([&](const Measures& piece) { return piece.keys[profile].r; });
    fit.margin = mean([&](const Measures& piece) { return piece.keys[profile].margin; });
    std::array<int64_t, keys> count{};
    for (const Measures& piece : pieces)
      if (piece.keys[profile].key >= 0) ++count[piece.keys[profile].key];
    const auto most = std::max_element(count.begin(), count.end());
    fit.key = *most > 0 ? static_cast<int>(most - count.begin()) : -1;
  }
  return result;
}

}  // namespace poph
