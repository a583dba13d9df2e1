#include "experiments/compose/sample_measures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/measures/copies.h"
#include "data/measures/measures.h"
#include "data/measures/overlap.h"

namespace poph {
namespace {

constexpr size_t max_excerpts = 200;

std::vector<Measures> measure_all(const Rolls& rolls, const Config& config) {
  std::vector<Measures> measures;
  for (const auto& roll : rolls) measures.push_back(measure(*roll, config.data.steps_per_quarter));
  return measures;
}

MeanMeasures measure_split(const std::vector<Piece>& pieces, const Config& config) {
  const Rolls chosen = pick_evenly(rolls_of(pieces), max_measured_pieces);
  return {mean_measures(measure_all(chosen, config)), std::ssize(chosen), std::ssize(pieces),
          RepeatsRecord{match_shares(chosen, config.data.channels)}};
}

CopyRecord copy_record(const Copied& copied) { return {copied.longest, copied.share()}; }

OverlapRecord measure_overlap(const Rolls& samples, const Rolls& held_out, int64_t steps, const Config& config) {
  const Rolls compared = pick_evenly(samples, max_excerpts);
  return {overlap_areas(compared, held_out, config.data.steps_per_quarter), std::ssize(compared), std::ssize(held_out),
          steps};
}

std::string measures_line(const MeasuresRecord& measures) {
  std::vector<std::string> splits;
  std::vector<const Measures*> of;
  for (const auto& [name, split] :
       {std::pair{"samples", &measures.samples}, {"train", &measures.train}, {"valid", &measures.valid}}) {
    if (!*split) continue;
    splits.push_back(name);
    of.push_back(&(*split)->measures);
  }
  constexpr std::pair<const char*, double Measures::*> shown[] = {
      {"pitch-class entropy", &Measures::pitch_class_entropy},
      {"scale consistency", &Measures::scale_consistency},
      {"groove consistency", &Measures::groove_consistency},
      {"repetition", &Measures::repetition},
      {"polyphony", &Measures::polyphony},
      {"empty bars", &Measures::empty_bar_rate},
      {"disharmony", &Measures::disharmony}};
  std::vector<std::string> fields;
  for (const auto& [label, member] : shown) {
    std::vector<std::string> values;
    for (const Measures* one : of) {
      const double x = one->*member;
      values.push_back(std::isfinite(x) ? fmt::format("{:.3f}", x) : "-");
    }
    fields.push_back(fmt::format("{} {}", label, fmt::join(values, " / ")));
  }
  return fmt::format("measures ({}): {}", fmt::join(splits, " / "), fmt::join(fields, ", "));
}

std::string copies_line(const SamplesCopied& copied) {
  const auto percent = [](double share) {
    return std::isfinite(share) ? fmt::format("{:.1f} %", 100 * share) : "none";
  };
  std::string text = fmt::format("copies: the longest run shared with a training piece is {} steps", copied.longest);
  if (!copied.piece.empty()) text += fmt::format(" ({})", copied.piece);
  text += fmt::format("; {} of the samples' sounding steps lie in shared runs of a bar or more", percent(copied.share));
  if (copied.valid)
    text += fmt::format(" (held-out pieces: {} steps, {})", copied.valid->longest, percent(copied.valid->share));
  return text;
}

// Nothing where no area could be counted.
std::string overlap_line(const OverlapRecord& overlap) {
  double sum = 0;
  int count = 0;
  for (const double area : overlap.areas)
    if (std::isfinite(area)) sum += area, ++count;
  if (count == 0) return "";
  return fmt::format("overlap area with the held-out pieces: {:.2f} over {} features ({} samples, {} excerpts{})",
                     sum / count, count, overlap.samples, overlap.valid,
                     std::min(overlap.samples, overlap.valid) < 50 ? "; from 50 of each on it is worth something" : "");
}

}  // namespace

MeasuresRecord measure_samples(const Rolls& samples, const Corpus& corpus, const Config& config) {
  const int64_t bar = bar_steps(config.generate_meter(), config.data.steps_per_quarter), shift = config.data.transpose;
  const std::vector<Measures> each = measure_all(samples, config);
  const std::vector<Copied> copies = find_copies(samples, corpus.train, bar, shift);
  MeasuresRecord found;
  found.samples = MeanMeasures{
      mean_measures(each), std::ssize(samples), {}, RepeatsRecord{match_shares(samples, config.data.channels)}};
  found.train = measure_split(corpus.train, config);
  for (size_t i = 0; i < samples.size(); ++i)
    found.pieces.push_back({each[i], fmt::format("samples/piece_{}.mid", i + 1),
                            PieceMeasures::Copied{copy_record(copies[i]), copies[i].of}});
  const Copied all = together(copies);
  found.copied = SamplesCopied{copy_record(all), all.of, shift, {}};
  if (corpus.valid.empty()) return found;

  found.valid = measure_split(corpus.valid, config);
  const int64_t steps = std::accumulate(samples.begin(), samples.end(), int64_t{1},
                                        [](int64_t most, const auto& roll) { return std::max(most, roll->steps()); });
  const Rolls held_out = excerpts(rolls_of(corpus.valid), steps, max_excerpts);
  found.overlap = measure_overlap(samples, held_out, steps, config);
  if (corpus.shared == 0) found.copied->valid = copy_record(together(find_copies(held_out, corpus.train, bar, shift)));
  return found;
}

std::vector<std::string> measures_text(const MeasuresRecord& measures) {
  std::vector<std::string> lines{measures_line(measures)};
  if (measures.copied) lines.push_back(copies_line(*measures.copied));
  if (const std::string line = measures.overlap ? overlap_line(*measures.overlap) : ""; !line.empty())
    lines.push_back(line);
  return lines;
}

}  // namespace poph
