#pragma once
#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "data/music/match.h"
#include "nn/blocks/columns.h"

// All steps so far of pieces that are composed side by side, each by some particles: one in each column of the batch.
// Columns that went on from one column share its steps, so that the memory of a piece holds K ends and what is left of
// their tree (Jacob, Murray and Rubenthaler 2015, "Path storage in the particle filter": about T + 2 K log K steps of T
// where the particles are drawn anew all the time). A step that all particles of a piece share takes one place.
namespace poph {

struct HistoryStep {
  std::vector<double> cells;       // [note][channel]
  Matches next;                    // where this column was before as it is now: the matches of the step behind this one
  std::vector<float> logits = {};  // [note]: of play, where somebody looks on
};

class History {
 public:
  using Column = std::shared_ptr<const HistoryStep>;

  History(int64_t pieces, int64_t particles) : particles_(particles), pieces_(pieces) {}

  int64_t steps() const { return static_cast<int64_t>(pieces_.front().size()); }
  const HistoryStep& at(int64_t step, int64_t column) const { return *shared_at(step, column); }
  const Column& shared_at(int64_t step, int64_t column) const {
    const std::vector<Column>& particles = pieces_[column / particles_][step];
    return particles[particles.size() == 1 ? 0 : column % particles_];
  }
  // How many steps at the beginning all particles of a piece share.
  int64_t settled(int64_t piece) const {
    int64_t steps = this->steps();
    while (steps > 0 && pieces_[piece][steps - 1].size() > 1) --steps;
    return steps;
  }

  void append(const std::vector<Column>& columns) {
    for (auto column = columns.begin(); auto& steps : pieces_) {
      steps.emplace_back(column, column + particles_);
      column += particles_;
    }
  }
  // The same step of all columns.
  void append_shared(const Column& column) {
    for (auto& steps : pieces_) steps.push_back({column});
  }

  // Column i goes on as columns[i] did, another particle of its piece.
  void select(const Columns& columns) {
    for (int64_t piece = 0; piece < std::ssize(pieces_); ++piece) select(pieces_[piece], piece * particles_, columns);
  }

  // How many different ones are in memory, and how many places they take.
  int64_t steps_held() const {
    std::set<const HistoryStep*> held;
    for (const auto& steps : pieces_)
      for (const auto& step : steps)
        for (const Column& column : step) held.insert(column.get());
    return static_cast<int64_t>(held.size());
  }
  int64_t places() const {
    int64_t count = 0;
    for (const auto& steps : pieces_)
      for (const auto& step : steps) count += std::ssize(step);
    return count;
  }

 private:
  using Steps = std::vector<std::vector<Column>>;  // [step][particle], or [step][0] of all particles

  // Ends where all particles have the same past as before, which is soon.
  void select(Steps& steps, int64_t first, const Columns& columns) const {
    for (auto step = steps.rbegin(); step != steps.rend() && step->size() > 1; ++step) {
      std::vector<Column> selected(static_cast<size_t>(particles_));
      for (int64_t i = 0; i < particles_; ++i) selected[i] = (*step)[columns[first + i] - first];
      if (selected == *step) return;
      const bool shared = std::count(selected.begin(), selected.end(), selected[0]) == particles_;
      *step = shared ? std::vector<Column>(1, selected[0]) : std::move(selected);
    }
  }

  int64_t particles_;
  std::vector<Steps> pieces_;
};

}  // namespace poph
