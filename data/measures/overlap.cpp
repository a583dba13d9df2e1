#include "data/measures/overlap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <set>

#include "data/measures/tonality.h"

namespace poph {
namespace {

using Features = std::array<std::vector<double>, feature_names.size()>;

// The nearest of the twelve note lengths; of two as near the first.
int64_t length_class(int64_t steps, int64_t steps_per_quarter) {
  constexpr double lengths[] = {96, 48, 24, 12, 6, 72, 36, 18, 9, 32, 16, 8};  // of a bar's 96 parts
  const double length = static_cast<double>(steps) * 24 / static_cast<double>(steps_per_quarter);
  const auto nearer = [&](double a, double b) { return std::abs(a - length) < std::abs(b - length); };
  return std::min_element(std::begin(lengths), std::end(lengths), nearer) - std::begin(lengths);
}

// How often a note of one pitch class ends where a note of another begins.
std::vector<double> pitch_class_transitions(std::span<const NoteSpan> notes, int64_t steps) {
  std::vector<std::array<double, 12>> begins(steps + 1);
  for (const NoteSpan& note : notes) ++begins[note.onset][note.pitch % 12];
  std::vector<double> counts(144);
  for (const NoteSpan& note : notes)
    for (int64_t to = 0; to < 12; ++to) counts[note.pitch % 12 * 12 + to] += begins[note.end][to];
  return counts;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

double scott_bandwidth(std::span<const double> x) {
  const auto n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double squares = 0;
  for (double value : x) squares += (value - mean) * (value - mean);
  return squares > 1e-20 * n * mean * mean ? std::sqrt(squares / (n - 1)) * std::pow(n, -0.2) : 0;
}

double density(std::span<const double> x, double bandwidth, double at) {
  double sum = 0;
  for (double value : x) {
    const double z = (at - value) / bandwidth;
    if (std::abs(z) < 8) sum += std::exp(-0.5 * z * z);
  }
  return sum / (static_cast<double>(x.size()) * bandwidth * std::sqrt(2 * std::numbers::pi));
}

}  // namespace

Features features(const Roll& roll, int64_t steps_per_quarter) {
  const std::vector<NoteSpan> notes = note_spans(roll);
  Features result;
  if (notes.empty()) return result;
  const Tonality tonal = tonality(notes);
  std::set<int64_t> pitches;
  for (const NoteSpan& note : notes) pitches.insert(note.pitch);
  const auto count = static_cast<double>(notes.size());
  std::vector<double> lengths(12), length_pairs(144);
  double interval = 0;
  for (size_t i = 0; i < notes.size(); ++i) {
    const int64_t length = length_class(notes[i].end - notes[i].onset, steps_per_quarter);
    lengths[length] += 1 / count;
    if (i == 0) continue;
    ++length_pairs[length_class(notes[i - 1].end - notes[i - 1].onset, steps_per_quarter) * 12 + length];
    interval += static_cast<double>(std::abs(notes[i].pitch - notes[i - 1].pitch));
  }
  result = {{{static_cast<double>(pitches.size())},
             {count},
             {tonal.durations.begin(), tonal.durations.end()},
             pitch_class_transitions(notes, roll.steps()),
             {static_cast<double>(*pitches.rbegin() - *pitches.begin())},
             {interval / (count - 1)},
             {static_cast<double>(notes.back().onset - notes.front().onset) / (count - 1)},
             lengths,
             length_pairs}};
  if (notes.size() == 1) result[5].clear(), result[6].clear();
  return result;
}

double overlap_area(std::span<const double> a, std::span<const double> b) {
  if (a.size() < 2 || b.size() < 2) return std::nan("");
  const double wide_a = scott_bandwidth(a), wide_b = scott_bandwidth(b);
  if (wide_a == 0 || wide_b == 0) return std::nan("");
  const auto [low_a, high_a] = std::minmax_element(a.begin(), a.end());
  const auto [low_b, high_b] = std::minmax_element(b.begin(), b.end());
  const double margin = 3 * std::max(wide_a, wide_b), low = std::min(*low_a, *low_b) - margin,
               high = std::max(*high_a, *high_b) + margin;
  constexpr int points = 1000;
  double sum = 0;
  for (int i = 0; i < points; ++i) {
    const double at = low + (high - low) * i / (points - 1);
    sum += std::min(density(a, wide_a, at), density(b, wide_b, at)) * (i == 0 || i == points - 1 ? 0.5 : 1);
  }
  return sum * (high - low) / (points - 1);
}

std::array<double, feature_names.size()> overlap_areas(std::span<const std::shared_ptr<const Roll>> samples,
                                                       std::span<const std::shared_ptr<const Roll>> references,
                                                       int64_t steps_per_quarter) {
  const auto all = [&](std::span<const std::shared_ptr<const Roll>> rolls) {
    std::vector<Features> found;
    for (const auto& roll : rolls) found.push_back(features(*roll, steps_per_quarter));
    return found;
  };
  const std::vector<Features> ours = all(samples), theirs = all(references);
  std::array<double, feature_names.size()> areas;
  for (size_t f = 0; f < areas.size(); ++f) {
    std::vector<double> within, across;
    const auto add = [&](std::vector<double>& to, const Features& a, const Features& b) {
      if (!a[f].empty() && !b[f].empty()) to.push_back(distance(a[f], b[f]));
    };
    for (size_t i = 0; i < theirs.size(); ++i)
      for (size_t j = 0; j < i; ++j) add(within, theirs[i], theirs[j]);
    for (const Features& sample : ours)
      for (const Features& reference : theirs) add(across, sample, reference);
    areas[f] = overlap_area(within, across);
  }
  return areas;
}

std::vector<std::shared_ptr<const Roll>> pick_evenly(std::span<const std::shared_ptr<const Roll>> rolls,
                                                     size_t max_count) {
  std::vector<std::shared_ptr<const Roll>> chosen;
  const size_t count = std::min(max_count, rolls.size());
  for (size_t i = 0; i < count; ++i) chosen.push_back(rolls[i * rolls.size() / count]);
  return chosen;
}

std::vector<std::shared_ptr<const Roll>> excerpts(std::span<const std::shared_ptr<const Roll>> pieces, int64_t steps,
                                                  size_t max_count) {
  struct Part {
    const Roll* piece;
    int64_t first, count;
  };
  std::vector<Part> parts;
  for (const auto& piece : pieces)
    for (int64_t first = 0; first < piece->steps(); first += steps)
      if (const int64_t left = piece->steps() - first; first == 0 || 2 * left >= steps)
        parts.push_back({piece.get(), first, std::min(steps, left)});
  std::vector<std::shared_ptr<const Roll>> result;
  const size_t count = std::min(max_count, parts.size());
  for (size_t i = 0; i < count; ++i) {
    const auto [piece, first, length] = parts[i * parts.size() / count];
    auto roll = std::make_shared<Roll>(piece->lowest_note(), piece->notes());
    std::vector<Cell> cells(piece->notes());
    for (int64_t step = first; step < first + length; ++step) {
      piece->row(step, cells);
      if (step == first)
        for (Cell& cell : cells) cell &= velocity_bits;  // nothing sounded before it
      roll->append(cells);
    }
    result.push_back(std::move(roll));
  }
  return result;
}

}  // namespace poph
