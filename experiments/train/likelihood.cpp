#include "experiments/train/likelihood.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/batches.h"
#include "nn/decoder.h"

namespace poph {
namespace {

// -log P of each cell: [steps][pieces][notes].
std::vector<double> costs(const Tensor& logits, const Tensor& target) {
  return bce_with_logits(slice_last(logits, 0, 1), slice_last(target, 0, 1)).values();
}

// The same of the mean of the models' probabilities.
std::vector<double> mixed(const std::vector<std::vector<double>>& each) {
  std::vector<double> found(each[0].size());
  for (size_t cell = 0; cell < found.size(); ++cell) {
    double least = each[0][cell], sum = 0;
    for (const auto& one : each) least = std::min(least, one[cell]);
    for (const auto& one : each) sum += std::exp(least - one[cell]);
    found[cell] = least - std::log(sum / static_cast<double>(each.size()));
  }
  return found;
}

void require_mixable(std::span<const Biaxial* const> models) {
  const ModelSettings& first = models.front()->settings;
  const Biaxial* ordered = nullptr;  // the first that is fed with chosen notes
  for (const Biaxial* model : models) {
    const ModelSettings& one = model->settings;
    require(model->autoregressive(), "log-likelihood: this model sees the notes it predicts, so it has none");
    require(one.notes == first.notes && one.lowest_note == first.lowest_note, "mixture: found ", one.notes,
            " notes from ", one.lowest_note, ", expected ", first.notes, " from ", first.lowest_note,
            " as the first model has");
    if (!model->conditioned()) continue;
    if (!ordered) ordered = model;
    require(one.descending == ordered->settings.descending,
            "mixture: found models of both note orders, descending and ascending: the mean of their conditionals is "
            "no distribution");
  }
}

class Scoring {
 public:
  Scoring(std::span<const Biaxial* const> models, const std::vector<Piece>& pieces, int64_t steps_per_quarter,
          int64_t max_cells)
      : models_(models),
        pieces_(pieces),
        steps_per_quarter_(steps_per_quarter),
        max_cells_(max_cells),
        notes_(models[0]->settings.notes) {
    scores_.assign(models.size() + (models.size() > 1), std::vector<PieceScore>(pieces.size()));
    for (auto& of_model : scores_)
      for (size_t piece = 0; piece < pieces.size(); ++piece) of_model[piece].steps = pieces[piece].roll->steps();
  }

  std::optional<Scores> work(const Interrupted& interrupted) {
    const auto quadratic = std::find_if(models_.begin(), models_.end(),
                                        [](const Biaxial* model) { return quadratic_in_steps(model->settings); });
    const Biaxial& slowest = quadratic == models_.end() ? *models_[0] : **quadratic;
    for (const std::vector<int64_t>& group : groups_to_read(pieces_, slowest.settings, max_cells_))
      if (!read(group, interrupted)) return std::nullopt;
    return std::move(scores_);
  }

 private:
  bool read(const std::vector<int64_t>& group, const Interrupted& interrupted) {
    std::vector<BiaxialDecoder> decoders;
    for (const Biaxial* model : models_) decoders.emplace_back(*model);
    const int64_t steps = pieces_[group.back()].roll->steps();
    const int64_t chunk = std::max<int64_t>(1, max_cells_ / (notes_ * std::ssize(group)));
    for (int64_t first = 0; first < steps; first += chunk) {
      if (interrupted && interrupted(done_)) return false;
      const int64_t count = std::min(chunk, steps - first);
      std::vector<std::vector<double>> cells;
      for (size_t m = 0; m < models_.size(); ++m) {
        Batch data = BatchLayout{.steps = count,
                                 .columns = std::ssize(group),
                                 .notes = notes_,
                                 .channels = models_[m]->settings.channels,
                                 .dtype = models_[m]->dtype(),
                                 .match_features = models_[m]->settings.match_width(),
                                 .styles = models_[m]->settings.styles}
                         .make();
        fill_pieces(data, pieces_, group, first, steps_per_quarter_);
        data = data.to(models_[m]->device());
        cells.push_back(costs(decoders[m].read(data).notes.value(), data.target));
      }
      if (models_.size() > 1) cells.push_back(mixed(cells));
      for (size_t m = 0; m < cells.size(); ++m) add(group, first, count, cells[m], scores_[m]);
      for (size_t piece : group) done_ += std::clamp<int64_t>(pieces_[piece].roll->steps() - first, 0, count);
    }
    return true;
  }

  void add(const std::vector<int64_t>& group, int64_t first, int64_t count, const std::vector<double>& cells,
           std::vector<PieceScore>& scores) const {
    for (size_t b = 0; b < group.size(); ++b) {
      PieceScore& score = scores[group[b]];
      for (int64_t step = 0; step < count && first + step < score.steps; ++step) {
        const auto begin = cells.begin() + (step * std::ssize(group) + static_cast<int64_t>(b)) * notes_;
        const double nats = -std::accumulate(begin, begin + notes_, 0.0);
        if (first + step == 0) score.first = nats;
        score.all += nats;
      }
    }
  }

  std::span<const Biaxial* const> models_;
  const std::vector<Piece>& pieces_;
  const int64_t steps_per_quarter_, max_cells_, notes_;
  Scores scores_;
  int64_t done_ = 0;
};

}  // namespace

std::optional<Scores> score_pieces(std::span<const Biaxial* const> models, const std::vector<Piece>& pieces,
                                   int64_t steps_per_quarter, const Interrupted& interrupted, int64_t max_cells) {
  require(!models.empty() && !pieces.empty(), "log-likelihood: ", models.size(), " models and ", pieces.size(),
          " pieces, expected some of both");
  require_mixable(models);
  return Scoring(models, pieces, steps_per_quarter, max_cells).work(interrupted);
}

std::optional<LogLikelihood> log_likelihood(const Biaxial& model, const std::vector<Piece>& pieces,
                                            int64_t steps_per_quarter, const Interrupted& interrupted) {
  const Biaxial* models[] = {&model};
  std::optional<Scores> scores = score_pieces(models, pieces, steps_per_quarter, interrupted);
  if (!scores) return std::nullopt;
  LogLikelihood found{averages(scores->front(), steps_per_quarter), steps_of(scores->front()), {}};
  found.pieces = std::move(scores->front());
  return found;
}

}  // namespace poph
