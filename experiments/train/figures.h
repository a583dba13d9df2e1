#pragma once
#include <optional>
#include <string>
#include <vector>

#include "data/measures/counting.h"
#include "data/measures/key_counts.h"
#include "experiments/config/settings.h"
#include "experiments/train/likelihood.h"
#include "experiments/workspace/run_record.h"

// The figures that are shown of a likelihood: the four averages, those on 88 keys, and the counting models beside them.
// The records are those of run.json.
namespace poph {

struct ScoredRange {  // that a model reads
  int64_t lowest_note = 0, notes = 0, steps_per_quarter = 0, channels = 0;

  static ScoredRange of(const DataConfig& data) {
    return {data.lowest_note, data.notes, data.steps_per_quarter, data.channels};
  }
  std::string text() const;  // "notes 36 to 83, 4 steps a quarter note"
};

// Of the scores of all these pieces. The figures on 88 keys are there for a model of play alone with the counts of its
// training pieces, and for one of exactly these keys.
FiguresRecord figures(const std::vector<PieceScore>& scores, const std::vector<Piece>& pieces, const ScoredRange& range,
                      const std::optional<KeyCounts>& key_counts);

// Why a model of play alone has no figure on 88 keys; empty where it has one, or where it is none of play alone.
std::string why_not_88_keys(const std::vector<Piece>& pieces, const ScoredRange& range,
                            const std::optional<KeyCounts>& key_counts);

// The counting models' figures of some pieces. Nothing: interrupted.
std::optional<CountingRecords> counting_records(const CountingModels& models, const std::vector<Piece>& pieces,
                                                const ScoredRange& range, const std::optional<KeyCounts>& key_counts,
                                                const Interrupted& interrupted = {});
// Each one with its record, which may be absent: visit(info, record).
template <class Records, class F>
void each_counting(Records& records, F visit) {
  visit(info_of(Counting::frequency), records.frequency);
  visit(info_of(Counting::last_states), records.last_states);
  visit(info_of(Counting::match_table), records.match_table);
}

LikelihoodRecord likelihood_record(const std::vector<PieceScore>& scores, const std::vector<Piece>& pieces,
                                   const ScoredRange& range, const std::optional<KeyCounts>& key_counts);

// Sets the counting models' figures beside the record's own, and says which of them are better.
void set_counting(const CountingRecords& counting, LikelihoodRecord& record);

// The log-likelihood of each split that has pieces; none where the model has none. To bound the time, pieces are read
// in their order as long as they fit into `max_steps` steps; `pieces` and `pieces_left_out` tell how many did. Where
// attention over all earlier steps makes a piece's cost grow as its square, n steps of it count as n * n / 256. A split
// of which nothing fits is absent. An empty result: interrupted.
constexpr int64_t max_likelihood_steps = 1 << 16;
std::optional<LikelihoodRecords> likelihoods(const Biaxial& model, const Corpus& corpus, const DataConfig& data,
                                             int64_t max_steps = max_likelihood_steps,
                                             const Interrupted& interrupted = {});

// A few lines for the log.
std::vector<std::string> likelihoods_text(const LikelihoodRecords& likelihoods);

}  // namespace poph
