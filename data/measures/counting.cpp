#include "data/measures/counting.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "data/music/match.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr int64_t last_states = 8, table_states = 3;  // of the key itself
constexpr double pseudo_counts = 6;                   // of all keys together, in what is counted of one
constexpr int64_t length_classes = 1 + std::ssize(exact_lengths);
constexpr int64_t agreements = 4, max_notes_so_far = 4, first_exact = 3;
constexpr int64_t steps_between_stops = 1 << 14;

constexpr std::array<int64_t, std::size(counting_models)> context_counts = {
    1, 1 << last_states, (1 << table_states) * length_classes * 2 * agreements*(max_notes_so_far + 1)};

using Bits = std::array<uint64_t, 2>;
bool has(const Bits& bits, int64_t note) { return bits[note / 64] >> note % 64 & 1; }

// Moved up by some semitones; what leaves the range is dropped.
Bits moved(const Bits& bits, int64_t by, int64_t notes) {
  using Wide = unsigned __int128;
  const Wide all = static_cast<Wide>(bits[1]) << 64 | bits[0], there = by >= 0 ? all << by : all >> -by;
  const Wide in_range = notes == 128 ? ~Wide{0} : (Wide{1} << notes) - 1;
  return {static_cast<uint64_t>(there & in_range), static_cast<uint64_t>((there & in_range) >> 64)};
}

int64_t length_class(int64_t length) {  // 0: no match
  if (length == 0) return 0;
  return 1 + (std::find(exact_lengths.begin(), exact_lengths.end(), length) - exact_lengths.begin());
}

// What the match in use says of a step, and how right it was for the lower keys.
class Prediction {
 public:
  Prediction(const Roll& roll, const Matches& found) {
    const bool exact = found.exact.length >= first_exact || found.transposed.length == 0;
    const Match& match = exact ? found.exact : found.transposed;
    class_ = length_class(match.length);
    if (class_ > 0) bits_ = moved(roll.play_bits(match.from), match.shift, roll.notes());
  }

  int64_t context(int64_t states, int64_t note) const {
    const int64_t agreement = wrong_ > 1 ? 0 : wrong_ == 1 ? 1 : right_notes_ == 0 ? 2 : 3;
    int64_t context = states % (1 << table_states);
    context = context * length_classes + class_;
    context = context * 2 + has(bits_, note);
    context = context * agreements + agreement;
    return context * (max_notes_so_far + 1) + std::min(notes_, max_notes_so_far);
  }

  void see(int64_t note, bool sounds) {
    wrong_ += class_ > 0 && sounds != has(bits_, note);
    right_notes_ += sounds && has(bits_, note);
    notes_ += sounds;
  }

 private:
  int64_t class_ = 0, wrong_ = 0, right_notes_ = 0, notes_ = 0;
  Bits bits_{};
};

}  // namespace

CountingModels::CountingModels(int64_t notes) : notes_(notes) {
  for (int64_t contexts : context_counts) tables_.emplace_back(contexts, notes);
}

template <class F>
void CountingModels::each_cell(const Roll& roll, F visit) const {
  require(roll.notes() == notes_, "counting: a piece of ", roll.notes(), " notes, expected ", notes_);
  const std::vector<Matches> matches = find_matches(roll, 1);
  std::vector<int64_t> states(static_cast<size_t>(notes_));  // a bit for each of the last 8 steps, the newest lowest
  for (int64_t step = 0; step < roll.steps(); ++step) {
    const Bits bits = roll.play_bits(step);
    Prediction prediction(roll, matches[step]);
    for (int64_t note = 0; note < notes_; ++note) {
      const bool sounds = has(bits, note);
      const std::array contexts = {int64_t{0}, states[note], prediction.context(states[note], note)};
      visit(step, note, sounds, contexts);
      prediction.see(note, sounds);
      states[note] = (states[note] << 1 | sounds) & ((1 << last_states) - 1);
    }
  }
}

std::optional<CountingModels> CountingModels::counted(const std::vector<Piece>& train, const StopCounting& stop) {
  require(!train.empty(), "counting: there are no pieces to count");
  CountingModels models(train.front().roll->notes());
  int64_t done = 0, asked = 0;
  for (const Piece& piece : train) {
    if (stop && done >= asked) {
      if (stop(done)) return std::nullopt;
      asked = done + steps_between_stops;
    }
    models.each_cell(*piece.roll, [&](int64_t, int64_t note, bool sounds, const auto& contexts) {
      for (size_t m = 0; m < contexts.size(); ++m) {
        models.tables_[m].of_key[contexts[m] * models.notes_ + note].add(sounds);
        models.tables_[m].of_all[contexts[m]].add(sounds);
      }
    });
    done += piece.roll->steps();
  }
  return models;
}

// A key's counts: alone, with one pseudo-count, for the frequency; else shrunk to those of all keys in this context.
double CountingModels::probability(Counting model, int64_t context, int64_t note) const {
  const Table& table = tables_[static_cast<size_t>(model)];
  const auto share = [](const Counts& counts, double weight, double prior) {
    return (counts.on + weight * prior) / (counts.seen + weight);
  };
  const Counts& own = table.of_key[context * notes_ + note];
  if (model == Counting::frequency) return share(own, 1, 0.5);
  return share(own, pseudo_counts, share(table.of_all[context], 1, 0.5));
}

std::optional<CountingModels::Scores> CountingModels::scores(const std::vector<Piece>& pieces,
                                                             const StopCounting& stop) const {
  Scores scores;
  int64_t done = 0, asked = 0;
  for (const Piece& piece : pieces) {
    if (stop && done >= asked) {
      if (stop(done)) return std::nullopt;
      asked = done + steps_between_stops;
    }
    const Roll& roll = *piece.roll;
    for (auto& of_model : scores) of_model.push_back({roll.steps()});
    each_cell(roll, [&](int64_t step, int64_t note, bool sounds, const auto& contexts) {
      for (size_t m = 0; m < contexts.size(); ++m) {
        const double p = probability(static_cast<Counting>(m), contexts[m], note);
        const double nats = std::log(sounds ? p : 1 - p);
        scores[m].back().all += nats;
        if (step == 0) scores[m].back().first += nats;
      }
    });
    done += roll.steps();
  }
  return scores;
}

}  // namespace poph
