#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/windows.h"

// The batches of an epoch (MODEL.md "Windows"), of either kind: shuffled windows, each from zero state, or lanes, along
// which the state is carried. What a batch holds depends on nothing but the settings, the epoch and its number.
namespace poph {

struct BatchSettings {
  int64_t window = 32;  // T
  int64_t columns = 4;  // B: windows or lanes
  int64_t shards = 1;   // a batch is filled in so many parts of equal size
  uint64_t seed = 1;
  int64_t transpose = 0;  // semitones, at most
  int64_t span = 1;       // steps of a span of the harmony loss
  int64_t steps_per_quarter = 4;
};

// Where a column of a batch begins.
struct BatchPlace {
  const char* what;  // "window" or "lane"
  int64_t number;    // of it
  std::string piece;
  int64_t first_step;  // of the inputs; below 0 before the piece
};

class Batches {
 public:
  explicit Batches(const BatchSettings& settings) : settings_(settings) {}
  virtual ~Batches() = default;

  virtual int64_t count() const = 0;  // of an epoch
  virtual int64_t columns(int64_t batch) const = 0;
  // What the batch weighs in the means of an epoch, and all of them together: windows, or steps that are there.
  virtual int64_t weight(int64_t batch) const = 0;
  virtual int64_t total() const = 0;
  virtual const char* unit() const = 0;  // of that: "windows" or "steps"

  // The part of the batch from this column on; the shapes of `part` say how much.
  virtual void fill(Batch& part, int64_t epoch, int64_t batch, int64_t first_column) const = 0;
  virtual std::vector<BatchPlace> places(int64_t epoch, int64_t batch) const = 0;

 protected:
  BatchSettings settings_;
};

// `windows` must outlive it.
class StaggeredBatches : public Batches {
 public:
  StaggeredBatches(const Windows& windows, const BatchSettings& settings) : Batches(settings), windows_(windows) {}
  int64_t count() const override { return (total() + settings_.columns - 1) / settings_.columns; }
  int64_t columns(int64_t batch) const override;
  int64_t weight(int64_t batch) const override;
  int64_t total() const override { return windows_.count(); }
  const char* unit() const override { return "windows"; }
  void fill(Batch& part, int64_t epoch, int64_t batch, int64_t first_column) const override;
  std::vector<BatchPlace> places(int64_t epoch, int64_t batch) const override;

 private:
  std::vector<int64_t> which(int64_t epoch, int64_t batch) const;

  const Windows& windows_;
  mutable int64_t epoch_ = -1;
  mutable std::vector<int64_t> order_;  // of the epoch that was asked for last
};

// Lanes: in an epoch every step of every piece is a target once. The pieces are laid end to end in an order of the
// epoch's own; each lane takes an equal share of the steps and reads it from batch to batch.
class LaneBatches : public Batches {
 public:
  LaneBatches(std::vector<Piece> pieces, const BatchSettings& settings);
  int64_t count() const override { return batches_; }
  int64_t columns(int64_t) const override { return settings_.columns; }
  int64_t weight(int64_t batch) const override;
  int64_t total() const override { return steps_; }
  const char* unit() const override { return "steps"; }
  void fill(Batch& part, int64_t epoch, int64_t batch, int64_t first_column) const override;
  std::vector<BatchPlace> places(int64_t epoch, int64_t batch) const override;

  // Steps of one piece side by side in a lane of a batch.
  struct Run {
    int64_t at = 0, count = 0;      // in the batch
    int64_t piece = -1, first = 0;  // target steps from `first` on; piece -1: nothing is there
  };
  std::vector<Run> runs(int64_t epoch, int64_t batch, int64_t lane) const;

 private:
  struct Order {
    int64_t epoch = -1;
    std::vector<int64_t> piece, end;  // in the epoch's order; end: of each in the steps laid end to end
  };
  const Order& order(int64_t epoch) const;
  int64_t there(int64_t batch, int64_t lane) const;  // how many of the lane's steps in the batch are there
  int64_t whole_spans(int64_t epoch, int64_t batch) const;

  std::vector<Piece> pieces_;
  int64_t steps_ = 0, batches_ = 0;
  mutable Order order_;  // of the epoch that was asked for last
};

int64_t steps_of(const std::vector<Piece>& pieces);

// Pieces to be read side by side, each by its index: at most so many, the shortest first, none over a quarter longer
// than the first.
std::vector<std::vector<int64_t>> groups_of_like_length(const std::vector<Piece>& pieces, int64_t most);

// The target steps from `first` on of these pieces, one in each column; where the batch has weights, each step that is
// there weighs the same. Returns how many are.
int64_t fill_pieces(Batch& batch, const std::vector<Piece>& pieces, const std::vector<int64_t>& which, int64_t first,
                    int64_t steps_per_quarter);

}  // namespace poph
