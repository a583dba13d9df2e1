#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/windows.h"
#include "nn/biaxial.h"
#include "nn/losses.h"

// A model's losses over windows, as training and `poph evaluate` report them.
namespace poph {

// The parts of a loss as numbers; absent where the model does not have the part, or nothing was added yet.
struct LossValues : PerLoss<std::optional<double>> {
  static LossValues of(const Losses& losses);
  double total() const { return (*this)[Loss::total].value(); }
  std::string not_finite() const;  // the name of the first part that is NaN or infinite: "play"; empty when none is
  void add(const LossValues& other, double weight);
};

// Called between batches with the windows or steps that are done; true ends the work early.
using Interrupted = std::function<bool(int64_t done)>;

// The mean over the given windows, dropout off, `batch` of them at a time. With `gradients` the gradient of the total
// is left in the model's parameters. An empty result: interrupted.
std::optional<LossValues> window_loss(const Biaxial& model, const LossFunction& loss, const Windows& windows,
                                      std::span<const int64_t> which, int64_t batch, bool gradients,
                                      const Interrupted& interrupted = {});

// Whether the cost of a piece grows as the square of its steps: attention over all earlier ones.
bool quadratic_in_steps(const ModelSettings& settings);

// (step, piece, note) cells that are read at once: some hundred MB at 1,024 numbers a cell.
inline constexpr int64_t cells_at_once = 1 << 15;
// Pieces of like length that one model reads side by side; each alone where its cost is quadratic.
std::vector<std::vector<int64_t>> groups_to_read(const std::vector<Piece>& pieces, const ModelSettings& settings,
                                                 int64_t max_cells = cells_at_once);

// The mean over the steps of whole pieces, each read from its first step to its last with carried state, dropout off;
// pieces of like length side by side. most_steps: of all, where it is not 0; the longest pieces are left out first, and
// at least one step is read. An empty result: interrupted.
std::optional<LossValues> piece_loss(const Biaxial& model, const LossFunction& loss, const std::vector<Piece>& pieces,
                                     int64_t steps_per_quarter, int64_t most_steps = 0,
                                     const Interrupted& interrupted = {});

}  // namespace poph
