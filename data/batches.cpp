#include "data/batches.h"

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace poph {
namespace {

void set_zero(const Tensor& tensor, int64_t b, int64_t at, int64_t count) {
  const int64_t size = tensor.shape()[1], row = tensor.shape().elements() / (tensor.shape()[0] * size);
  auto* bytes = static_cast<std::byte*>(tensor.raw());
  const auto row_bytes = static_cast<size_t>(row) * bytes_of(tensor.dtype());
  for (int64_t t = at; t < at + count; ++t)
    std::fill_n(bytes + static_cast<size_t>(t * size + b) * row_bytes, row_bytes, std::byte{0});
}

// Steps that are not there.
void clear_steps(const Batch& batch, int64_t b, int64_t at, int64_t count) {
  for (const Tensor* tensor : {&batch.input, &batch.target, &batch.beat, &batch.match, &batch.style})
    if (tensor->defined()) set_zero(*tensor, b, at, count);
}

void set_weight(const Tensor& tensor, int64_t b, int64_t at, int64_t count, double weight) {
  const int64_t size = tensor.shape()[1];
  for (int64_t t = at; t < at + count; ++t)
    if (tensor.dtype() == Dtype::f32)
      tensor.data<float>()[t * size + b] = static_cast<float>(weight);
    else
      tensor.data<double>()[t * size + b] = weight;
}

}  // namespace

// ---- staggered windows ----

std::vector<int64_t> StaggeredBatches::which(int64_t epoch, int64_t batch) const {
  if (epoch_ != epoch) {
    order_ = epoch_order(windows_.count(), settings_.seed, epoch);
    epoch_ = epoch;
  }
  const auto first = order_.begin() + batch * settings_.columns;
  return {first, first + weight(batch)};
}

int64_t StaggeredBatches::weight(int64_t batch) const {
  return std::min(settings_.columns, total() - batch * settings_.columns);
}

// With shards every batch has all its columns, the last with some empty ones: a shard has one shape.
int64_t StaggeredBatches::columns(int64_t batch) const {
  return settings_.shards > 1 ? settings_.columns : weight(batch);
}

void StaggeredBatches::fill(Batch& part, int64_t epoch, int64_t batch, int64_t first_column) const {
  const std::vector<int64_t> all = which(epoch, batch);
  const int64_t steps = settings_.window, spans = steps / settings_.span, there = std::ssize(all);
  for (int64_t b = 0; b < part.input.shape()[1]; ++b) {
    const bool is_there = first_column + b < there;
    if (is_there) {
      const int64_t window = all[first_column + b];
      const Windows::View view = windows_.view(window);
      fill_steps(part, b, 0, steps, windows_.pieces()[view.piece], view.first_step - steps + 1,
                 epoch_shift(window, settings_.transpose, settings_.seed, epoch), settings_.steps_per_quarter);
    } else {
      clear_steps(part, b, 0, steps);
    }
    if (!part.weight.defined()) continue;
    set_weight(part.weight, b, 0, steps, is_there ? 1 / static_cast<double>(there * steps) : 0);
    set_weight(part.span_weight, b, 0, spans, is_there ? 1 / static_cast<double>(there * spans) : 0);
  }
}

std::vector<BatchPlace> StaggeredBatches::places(int64_t epoch, int64_t batch) const {
  std::vector<BatchPlace> places;
  for (const int64_t window : which(epoch, batch)) {
    const auto [piece, first] = windows_.view(window);
    places.push_back({"window", window, windows_.pieces()[piece].name, first - windows_.window()});
  }
  return places;
}

// ---- lanes ----

LaneBatches::LaneBatches(std::vector<Piece> pieces, const BatchSettings& settings)
    : Batches(settings), pieces_(std::move(pieces)) {
  require(settings.window >= 1 && settings.columns >= 1, "lanes: ", settings.columns, " lanes of ", settings.window,
          " steps, expected at least 1 of each");
  steps_ = steps_of(pieces_);
  const int64_t of_batch = settings.columns * settings.window;
  batches_ = (steps_ + of_batch - 1) / of_batch;
}

const LaneBatches::Order& LaneBatches::order(int64_t epoch) const {
  if (order_.epoch == epoch) return order_;
  order_.piece = epoch_order(std::ssize(pieces_), settings_.seed, epoch);
  order_.end.clear();
  int64_t end = 0;
  for (const int64_t piece : order_.piece) order_.end.push_back(end += pieces_[piece].roll->steps());
  order_.epoch = epoch;
  return order_;
}

int64_t LaneBatches::there(int64_t batch, int64_t lane) const {
  const int64_t first = (lane * batches_ + batch) * settings_.window;
  return std::clamp<int64_t>(steps_ - first, 0, settings_.window);
}

int64_t LaneBatches::weight(int64_t batch) const {
  int64_t steps = 0;
  for (int64_t lane = 0; lane < settings_.columns; ++lane) steps += there(batch, lane);
  return steps;
}

std::vector<LaneBatches::Run> LaneBatches::runs(int64_t epoch, int64_t batch, int64_t lane) const {
  const Order& order = this->order(epoch);
  const int64_t first = (lane * batches_ + batch) * settings_.window, count = there(batch, lane);
  std::vector<Run> runs;
  auto next = std::upper_bound(order.end.begin(), order.end.end(), first) - order.end.begin();
  for (int64_t at = 0; at < count; ++next) {
    const int64_t piece = order.piece[next], begin = order.end[next] - pieces_[piece].roll->steps();
    const int64_t taken = std::min(count - at, order.end[next] - first - at);
    runs.push_back({at, taken, piece, first + at - begin});
    at += taken;
  }
  if (count < settings_.window) runs.push_back({count, settings_.window - count});
  return runs;
}

// Spans of the batch whose steps are all there and of one piece.
int64_t LaneBatches::whole_spans(int64_t epoch, int64_t batch) const {
  const int64_t span = settings_.span;
  int64_t count = 0;
  for (int64_t lane = 0; lane < settings_.columns; ++lane)
    for (const Run& run : runs(epoch, batch, lane))
      if (run.piece >= 0) count += std::max<int64_t>(0, (run.at + run.count) / span - (run.at + span - 1) / span);
  return count;
}

void LaneBatches::fill(Batch& part, int64_t epoch, int64_t batch, int64_t first_column) const {
  const int64_t size = part.input.shape()[1], span = settings_.span;
  const double step_weight = 1 / static_cast<double>(weight(batch)),
               span_weight = 1 / std::max(1.0, static_cast<double>(whole_spans(epoch, batch)));
  auto* begins = part.begins.data<int32_t>();
  for (int64_t b = 0; b < size; ++b) {
    set_weight(part.span_weight, b, 0, settings_.window / span, 0);
    for (const Run& run : runs(epoch, batch, first_column + b)) {
      const bool is_there = run.piece >= 0, carried = is_there && run.at == 0 && run.first > 0 && batch > 0;
      for (int64_t t = run.at; t < run.at + run.count; ++t)
        begins[t * size + b] = carried ? -1 : static_cast<int32_t>(run.at);
      set_weight(part.weight, b, run.at, run.count, is_there ? step_weight : 0);
      if (!is_there) {
        clear_steps(part, b, run.at, run.count);
        continue;
      }
      const int64_t first_span = (run.at + span - 1) / span, end_span = (run.at + run.count) / span;
      set_weight(part.span_weight, b, first_span, std::max<int64_t>(0, end_span - first_span), span_weight);
      fill_steps(part, b, run.at, run.count, pieces_[run.piece], run.first,
                 epoch_shift(run.piece, settings_.transpose, settings_.seed, epoch), settings_.steps_per_quarter);
    }
  }
}

std::vector<BatchPlace> LaneBatches::places(int64_t epoch, int64_t batch) const {
  std::vector<BatchPlace> places;
  for (int64_t lane = 0; lane < settings_.columns; ++lane)
    for (const Run& run : runs(epoch, batch, lane))
      if (run.piece >= 0) places.push_back({"lane", lane, pieces_[run.piece].name, run.first - 1});
  return places;
}

// ---- whole pieces ----

int64_t steps_of(const std::vector<Piece>& pieces) {
  int64_t steps = 0;
  for (const Piece& piece : pieces) steps += piece.roll->steps();
  return steps;
}

std::vector<std::vector<int64_t>> groups_of_like_length(const std::vector<Piece>& pieces, int64_t most) {
  std::vector<int64_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  const auto steps = [&](int64_t piece) { return pieces[piece].roll->steps(); };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return steps(a) < steps(b); });
  std::vector<std::vector<int64_t>> groups;
  for (const int64_t piece : order) {
    const bool fits =
        !groups.empty() && std::ssize(groups.back()) < most && 4 * steps(piece) <= 5 * steps(groups.back().front());
    if (!fits) groups.emplace_back();
    groups.back().push_back(piece);
  }
  return groups;
}

int64_t fill_pieces(Batch& batch, const std::vector<Piece>& pieces, const std::vector<int64_t>& which, int64_t first,
                    int64_t steps_per_quarter) {
  const int64_t steps = batch.input.shape()[0],
                span = batch.span_weight.defined() ? steps / batch.span_weight.shape()[0] : 1;
  std::vector<int64_t> there;
  int64_t all = 0, spans = 0;
  for (const int64_t piece : which) {
    there.push_back(std::clamp<int64_t>(pieces[piece].roll->steps() - first, 0, steps));
    all += there.back();
    spans += there.back() / span;
  }
  for (int64_t b = 0; b < std::ssize(which); ++b) {
    const int64_t own = there[b];
    if (own > 0) fill_steps(batch, b, 0, own, pieces[which[b]], first, 0, steps_per_quarter);
    clear_steps(batch, b, own, steps - own);
    if (!batch.weight.defined()) continue;
    set_weight(batch.weight, b, 0, own, 1 / static_cast<double>(all));
    set_weight(batch.weight, b, own, steps - own, 0);
    set_weight(batch.span_weight, b, 0, own / span, 1 / std::max(1.0, static_cast<double>(spans)));
    set_weight(batch.span_weight, b, own / span, steps / span - own / span, 0);
  }
  return all;
}

}  // namespace poph
