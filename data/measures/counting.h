#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "data/measures/scores.h"
#include "data/reading/corpus.h"

// Models that count and learn nothing: their likelihoods stand beside every network's, because a network that is worse
// than counting must be seen (MODEL.md "Evaluation"). They see the play matrix alone.
namespace poph {

enum class Counting { frequency, last_states, match_table };

struct CountingInfo {
  const char *name, *heading;  // the name in files
  // 'A': the keys of a step are independent given the past; 'B': each key is given the lower ones of its step, too.
  // Figures of the two are not to be ranked together.
  char league;
};
inline constexpr CountingInfo counting_models[] = {
    {"frequency", "frequency of each key", 'A'},
    {"last_states", "last 8 states of the key", 'A'},
    {"match_table", "match table", 'B'},
};
constexpr const CountingInfo& info_of(Counting model) { return counting_models[static_cast<size_t>(model)]; }
constexpr const char* league_text(char league) {
  return league == 'A' ? "keys independent given the past" : "chained over the keys of a step";
}

// Called now and then with the steps that are done; true ends the work early.
using StopCounting = std::function<bool(int64_t done)>;

class CountingModels {
 public:
  // Counts pieces of one note range: some 20 million cells a second. Nothing: stopped.
  static std::optional<CountingModels> counted(const std::vector<Piece>& train, const StopCounting& stop = {});

  // The scores of each piece, [model][piece]. Nothing: stopped.
  using Scores = std::array<std::vector<PieceScore>, std::size(counting_models)>;
  std::optional<Scores> scores(const std::vector<Piece>& pieces, const StopCounting& stop = {}) const;

 private:
  // What happened to a key in a context.
  struct Counts {
    uint32_t seen = 0, on = 0;
    void add(bool sounds) { ++seen, on += sounds; }
  };
  struct Table {
    Table(int64_t contexts, int64_t notes) : of_key(contexts * notes), of_all(contexts) {}
    std::vector<Counts> of_key, of_all;  // [context][note]; [context], of all notes
  };

  explicit CountingModels(int64_t notes);
  double probability(Counting model, int64_t context, int64_t note) const;
  template <class F>
  void each_cell(const Roll& roll, F visit) const;  // visit(step, note, sounds, the context of each model)

  int64_t notes_;
  std::vector<Table> tables_;  // one a model
};

}  // namespace poph
