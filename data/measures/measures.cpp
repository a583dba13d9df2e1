#include "data/measures/measures.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "data/measures/harmony.h"
#include "data/measures/repetition.h"

namespace poph {
namespace {

template <size_t n>
double entropy(const std::array<double, n>& counts, double total) {
  double sum = 0;
  for (double count : counts)
    if (count > 0) sum -= count / total * std::log2(count / total);
  return total > 0 ? sum : std::nan("");
}

// The first steps of units of `unit` steps up to the one that holds step `end`.
std::vector<int64_t> units(int64_t end, int64_t unit) {
  std::vector<int64_t> starts;
  for (int64_t step = 0; step <= end; step += unit) starts.push_back(step);
  return starts;
}

// Share of the units that no note touches.
double empty_rate(std::span<const NoteSpan> notes, int64_t end, const std::vector<int64_t>& starts) {
  if (end < 1) return std::nan("");
  std::vector<char> touched(starts.size());
  const auto unit_of = [&](int64_t step) {
    return std::upper_bound(starts.begin(), starts.end(), step) - starts.begin() - 1;
  };
  for (const NoteSpan& note : notes)
    std::fill(touched.begin() + unit_of(note.onset), touched.begin() + unit_of(note.end) + 1, true);
  return static_cast<double>(std::count(touched.begin(), touched.end(), false)) / static_cast<double>(touched.size());
}

// The mean agreement of neighbouring bars of one length in where notes begin.
double groove(std::span<const NoteSpan> notes, const std::vector<Bars::Bar>& bars) {
  if (bars.empty()) return std::nan("");
  std::vector<char> onset(bars.back().end);
  for (const NoteSpan& note : notes) onset[note.onset] = true;
  int64_t differing = 0, compared = 0;
  for (size_t i = 1; i < bars.size(); ++i) {
    const int64_t length = bars[i].end - bars[i].first, before = bars[i - 1].first;
    if (bars[i - 1].end - before != length) continue;
    for (int64_t k = 0; k < length; ++k) differing += onset[bars[i].first + k] != onset[before + k];
    compared += length;
  }
  return compared > 0 ? 1 - static_cast<double>(differing) / static_cast<double>(compared) : std::nan("");
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

namespace {

// Over spans that begin at these steps.
double disharmony(const Roll& roll, const HarmonySettings& settings, const std::vector<int64_t>& starts) {
  const std::vector<double> matrix = disharmony_matrix(settings.matrix);
  double total = 0;
  int64_t spans = 0;
  for (size_t i = 0; i < starts.size() && starts[i] < roll.steps(); ++i, ++spans) {
    const int64_t first = starts[i],
                  steps = (i + 1 < starts.size() ? std::min(starts[i + 1], roll.steps()) : roll.steps()) - first;
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

}  // namespace

double disharmony(const Roll& roll, const HarmonySettings& settings) {
  return disharmony(roll, settings, units(roll.steps(), settings.span));
}

Measures measure(const Roll& roll, int64_t steps_per_quarter) {
  const std::vector<NoteSpan> notes = note_spans(roll);
  const Tonality tonal = tonality(notes);
  const Bars bars(roll.meters(), steps_per_quarter);
  Measures m;
  std::array<double, 128> pitches{};
  int64_t end = 0;  // muspy's length: silence behind the last note does not count
  for (const NoteSpan& note : notes) {
    ++pitches[note.pitch];
    end = std::max(end, note.end);
  }
  m.notes = static_cast<double>(notes.size());
  const auto used = [](double x) { return x > 0; };
  m.pitches_used = static_cast<double>(std::count_if(pitches.begin(), pitches.end(), used));
  m.pitch_classes_used =
      static_cast<double>(std::count_if(tonal.pitch_classes.begin(), tonal.pitch_classes.end(), used));
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
  m.empty_beat_rate = empty_rate(notes, end, units(end, steps_per_quarter));
  m.empty_bar_rate = empty_rate(notes, end, bars.starts(end + 1));
  m.groove_consistency = groove(notes, bars.until(end + 1));
  m.repetition = repetition(roll, steps_per_quarter);
  m.disharmony = disharmony(roll, HarmonySettings{});
  m.disharmony_bar = disharmony(roll, HarmonySettings{.input = HarmonyInput::raw}, bars.starts(roll.steps()));
  for (size_t i = 0; i < key_profiles.size(); ++i) m.keys[i] = best_key(tonal.durations, key_profiles[i]);
  m.pitch_in_scale_rate = m.keys[0].key < 0 ? std::nan("") : in_scale(tonal.pitch_classes, m.keys[0].key);
  return m;
}

Measures mean_measures(std::span<const Measures> pieces) {
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
    const auto top = std::max_element(count.begin(), count.end());
    fit.key = *top > 0 ? static_cast<int>(top - count.begin()) : -1;
  }
  return result;
}

}  // namespace poph
