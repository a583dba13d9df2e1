#pragma once
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>

// The parts of the loss (MODEL.md "Losses"), listed once. The keys of experiment files, training, its logs and
// checkpoints, `poph evaluate`, reports and charts all loop over this table. A new part is a name in `Loss`, a row, and
// its formula in nn/losses.h.
namespace poph {

enum class Loss { play, replay, volume, harmony, total };

struct LossPart {
  Loss loss;
  const char* name;                   // in files: the key in metrics.jsonl and training states, the tag, the column
  const char* heading;                // in tables and charts
  const char* meaning;                // one sentence for the reader of a report
  bool whole_notes_only = false;      // a model of play alone does not have it
  std::optional<double> weight = {};  // the default of the key loss.NAME.weight; without one it counts once
};

// In the order of logs and tables; the total is the sum of the rows above it, each times its weight.
inline constexpr LossPart loss_parts[] = {
    {Loss::play, "play", "Play", "Part of the validation loss: which notes sound"},
    {Loss::replay, "replay", "Replay", "Part of the validation loss: which are struck again", true},
    {Loss::volume, "volume", "Volume", "Part of the validation loss: how loud", true},
    {Loss::harmony, "harmony", "Harmony", "The harmony loss before its weight", false, 0.1},
    {Loss::total, "total", "Total", "The loss that was trained, harmony included"},
};

// One T for each part: losses[Loss::play].
template <class T>
struct PerLoss {
  std::array<T, std::size(loss_parts)> values{};

  T& operator[](Loss loss) { return values[static_cast<size_t>(loss)]; }
  const T& operator[](Loss loss) const { return values[static_cast<size_t>(loss)]; }
  T& operator[](const LossPart& part) { return (*this)[part.loss]; }
  const T& operator[](const LossPart& part) const { return (*this)[part.loss]; }
};

static_assert(
    [] {
      for (size_t i = 0; i < std::size(loss_parts); ++i)
        if (static_cast<size_t>(loss_parts[i].loss) != i) return false;
      return loss_parts[std::size(loss_parts) - 1].loss == Loss::total;
    }(),
    "loss_parts: the rows stand in the order of Loss, the total last");

// The rows with the total first, as tables of runs and charts show them.
inline constexpr auto loss_parts_total_first = [] {
  std::array<LossPart, std::size(loss_parts)> rows{loss_parts[std::size(loss_parts) - 1]};
  for (size_t i = 1; i < rows.size(); ++i) rows[i] = loss_parts[i - 1];
  return rows;
}();

inline std::string weight_key(const LossPart& part) { return std::string("loss.") + part.name + ".weight"; }

// The weight of each part in the total; loss_parts has the defaults.
inline PerLoss<double> default_weights() {
  PerLoss<double> weights;
  for (const LossPart& part : loss_parts) weights[part] = part.weight.value_or(1);
  return weights;
}

}  // namespace poph
