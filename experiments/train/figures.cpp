#include "experiments/train/figures.h"

#include <fmt/format.h>

#include <algorithm>

namespace poph {
namespace {

bool is_whole_piano(const ScoredRange& range) {
  return range.lowest_note == lowest_piano_key && range.notes == piano_keys;
}

void set_88_keys(const Averages& found, FiguresRecord& record) {
  record.nats_per_step_88_keys = found.nats_per_step;
  record.nats_per_step_without_first_88_keys = found.nats_per_step_without_first;
  record.nats_per_step_mean_of_pieces_88_keys = found.nats_per_step_mean_of_pieces;
  record.nats_per_quarter_88_keys = found.nats_per_quarter;
}

std::string pieces_text(const char* name, const LikelihoodRecord& one) {
  const int64_t pieces = one.pieces.value_or(0), left_out = one.pieces_left_out.value_or(0);
  return fmt::format("{} {} piece{}{}", pieces, name, pieces == 1 ? "" : "s",
                     left_out ? fmt::format(" ({} left out)", left_out) : "");
}

void add_lines(const char* name, const LikelihoodRecord& one, std::vector<std::string>& lines) {
  const ScoredRange range{one.lowest_note, one.notes, one.steps_per_quarter, 0};
  lines.push_back(fmt::format(
      "log-likelihood of {}: {:.3f} nats a step, {:.3f} without first steps, {:.3f} mean of pieces, {:.3f} a quarter "
      "note ({})",
      pieces_text(name, one), one.nats_per_step, one.nats_per_step_without_first, one.nats_per_step_mean_of_pieces,
      one.nats_per_quarter, range.text()));
  if (one.nats_per_step_88_keys && !is_whole_piano(range))
    lines.push_back(fmt::format(
        "  on 88 keys: {:.3f} nats a step, {:.3f} without first steps, {:.3f} mean of pieces, {:.3f} a quarter note",
        *one.nats_per_step_88_keys, one.nats_per_step_without_first_88_keys.value_or(not_known),
        one.nats_per_step_mean_of_pieces_88_keys.value_or(not_known),
        one.nats_per_quarter_88_keys.value_or(not_known)));
  if (one.counting) {
    std::vector<std::string> figures;
    each_counting(*one.counting, [&](const CountingInfo& info, const auto& record) {
      if (!record) return;
      figures.push_back(fmt::format("{} {:.3f} / {:.3f} / {:.3f} / {:.3f} ({})", info.heading, record->nats_per_step,
                                    record->nats_per_step_without_first, record->nats_per_step_mean_of_pieces,
                                    record->nats_per_quarter, info.league));
    });
    lines.push_back(fmt::format("  counting alone has the same four: {}", fmt::join(figures, ", ")));
  }
  if (one.worse) lines.push_back("  the network is " + *one.worse);
  if (one.remark) lines.push_back("  " + *one.remark);
}

}  // namespace

std::string ScoredRange::text() const {
  return fmt::format("notes {} to {}, {} steps a quarter note", lowest_note, lowest_note + notes - 1,
                     steps_per_quarter);
}

FiguresRecord figures(const std::vector<PieceScore>& scores, const std::vector<Piece>& pieces, const ScoredRange& range,
                      const std::optional<KeyCounts>& key_counts) {
  FiguresRecord record{averages(scores, range.steps_per_quarter)};
  if (is_whole_piano(range)) {
    set_88_keys(record, record);
  } else if (range.channels == 1 && key_counts) {
    if (auto outside = outside_scores(pieces, *key_counts)) {
      for (size_t i = 0; i < scores.size(); ++i) (*outside)[i] += scores[i];
      set_88_keys(averages(*outside, range.steps_per_quarter), record);
    }
  }
  return record;
}

std::string why_not_88_keys(const std::vector<Piece>& pieces, const ScoredRange& range,
                            const std::optional<KeyCounts>& key_counts) {
  if (is_whole_piano(range) || range.channels != 1) return "";
  const int64_t last = range.lowest_note + range.notes - 1, last_key = lowest_piano_key + piano_keys - 1;
  if (range.lowest_note < lowest_piano_key || last > last_key)
    return fmt::format("no figure on 88 keys: {} to {} are not keys {} to {}", range.lowest_note, last,
                       lowest_piano_key, last_key);
  if (!key_counts)
    return "no figure on 88 keys: the checkpoint lacks the counts of keys in the training pieces (key_counts), as "
           "those of earlier versions do";
  if (!outside_scores(pieces, *key_counts))
    return "no figure on 88 keys: in a piece the keys outside the range could not be counted";
  return "";
}

std::optional<CountingRecords> counting_records(const CountingModels& models, const std::vector<Piece>& pieces,
                                                const ScoredRange& range, const std::optional<KeyCounts>& key_counts,
                                                const Interrupted& interrupted) {
  const auto scores = models.scores(pieces, interrupted);
  if (!scores) return std::nullopt;
  CountingRecords records;
  each_counting(records, [&](const CountingInfo& info, auto& record) {
    record = figures((*scores)[static_cast<size_t>(&info - counting_models)], pieces, range, key_counts);
  });
  return records;
}

LikelihoodRecord likelihood_record(const std::vector<PieceScore>& scores, const std::vector<Piece>& pieces,
                                   const ScoredRange& range, const std::optional<KeyCounts>& key_counts) {
  LikelihoodRecord record{figures(scores, pieces, range, key_counts)};
  record.steps = steps_of(scores);
  record.lowest_note = range.lowest_note;
  record.notes = range.notes;
  record.steps_per_quarter = range.steps_per_quarter;
  if (const std::string why = why_not_88_keys(pieces, range, key_counts); !why.empty()) record.remark = why;
  return record;
}

void set_counting(const CountingRecords& counting, LikelihoodRecord& record) {
  record.counting = counting;
  std::vector<std::string> better;
  each_counting(counting, [&](const CountingInfo& info, const auto& figures) {
    if (figures && figures->nats_per_step > record.nats_per_step)
      better.push_back(fmt::format("{} has {:.3f} nats a step", info.heading, figures->nats_per_step));
  });
  if (!better.empty()) record.worse = fmt::format("worse than counting: {}", fmt::join(better, ", "));
}

std::optional<LikelihoodRecords> likelihoods(const Biaxial& model, const Corpus& corpus, const DataConfig& data,
                                             int64_t max_steps, const Interrupted& interrupted) {
  LikelihoodRecords found;
  if (!model.autoregressive()) return found;
  const bool quadratic = quadratic_in_steps(model.settings);
  const ScoredRange range = ScoredRange::of(data);
  const std::optional<KeyCounts> key_counts = count_keys(corpus.train);
  std::optional<CountingModels> counting;
  for (const auto& [record, all] : {std::pair{&found.valid, &corpus.valid}, {&found.test, &corpus.test}}) {
    std::vector<Piece> pieces;
    int64_t left = max_steps;
    for (const Piece& piece : *all) {
      const int64_t steps = piece.roll->steps(), cost = quadratic ? std::max(steps, steps * steps / 256) : steps;
      if (cost > left) continue;
      left -= cost;
      pieces.push_back(piece);
    }
    if (pieces.empty()) continue;
    const auto likelihood = log_likelihood(model, pieces, data.steps_per_quarter, interrupted);
    if (!likelihood) return std::nullopt;
    LikelihoodRecord scored = likelihood_record(likelihood->pieces, pieces, range, key_counts);
    scored.pieces = std::ssize(pieces);
    scored.pieces_left_out = std::ssize(*all) - std::ssize(pieces);
    if (!corpus.train.empty()) {
      if (!counting && !(counting = CountingModels::counted(corpus.train, interrupted))) return std::nullopt;
      const auto records = counting_records(*counting, pieces, range, key_counts, interrupted);
      if (!records) return std::nullopt;
      set_counting(*records, scored);
    }
    *record = std::move(scored);
  }
  return found;
}

std::vector<std::string> likelihoods_text(const LikelihoodRecords& likelihoods) {
  std::vector<std::string> lines;
  if (likelihoods.test) add_lines("test", *likelihoods.test, lines);  // in the order of their names
  if (likelihoods.valid) add_lines("held-out", *likelihoods.valid, lines);
  return lines;
}

}  // namespace poph
