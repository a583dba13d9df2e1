#include "experiments/generator.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "data/windows.h"

namespace poph {
namespace {

constexpr int64_t patience_steps = 16;      // silent steps before a piece is warmed up
constexpr double warming = 0.1;             // a step
constexpr int play_only_velocity = 80;      // a play-only model knows no volume

// What was read and composed so far, on the host: steps[s][piece][note][channel], piece and note ascending.
class Composer {
 public:
  Composer(const Biaxial& model, const ComposeSettings& settings)
      : model_(model), settings_(settings), stream_(model), notes_(model.settings.notes), channels_(model.settings.channels),
        silent_(settings.pieces, 0) {
    require(settings.pieces > 0 && settings.steps >= 0 && settings.temperature > 0 && settings.context >= 0, "compose: ", settings.pieces,
            " pieces of ", settings.steps, " steps at temperature ", settings.temperature, " with context ", settings.context);
    const int64_t kept = settings.prime && settings.keep_prime ? settings.prime->steps() : 0;
    require(settings.steps <= max_steps - kept, "compose: ", settings.steps, " steps after ", kept,
            " of the prime, expected at most ", max_steps, " together");
    if (settings.prime) read_prime(*settings.prime);
    first_new_ = static_cast<int64_t>(steps_.size());
  }

  void step() {
    const int64_t now = static_cast<int64_t>(steps_.size());
    if (settings_.context > 0)
      stream_.begin_step(reread(now));
    else
      stream_.begin_step(prepared(now - 1, 1));
    std::vector<double> next(settings_.pieces * notes_ * channels_, 0.0), chosen;
    for (int64_t position = 0; position < notes_; ++position) {
      const Prediction prediction = stream_.next_note(position, position ? tensor(chosen, {1, settings_.pieces, 1, channels_}) : Tensor());
      chosen = choose(prediction, model_.settings.descending ? notes_ - 1 - position : position, position, next);
    }
    stream_.end_step();
    for (int64_t piece = 0; piece < settings_.pieces; ++piece) {
      bool sounds = false;
      for (int64_t note = 0; note < notes_; ++note) sounds = sounds || next[(piece * notes_ + note) * channels_] > 0;
      silent_[piece] = sounds ? 0 : silent_[piece] + 1;
    }
    steps_.push_back(std::move(next));
  }

  std::vector<Roll> rolls() const {
    std::vector<Roll> made;
    std::vector<Cell> cells(notes_);
    for (int64_t piece = 0; piece < settings_.pieces; ++piece) {
      Roll roll(model_.settings.lowest_note, notes_);
      for (size_t s = settings_.keep_prime ? 0 : first_new_; s < steps_.size(); ++s) {
        for (int64_t note = 0; note < notes_; ++note) {
          const double* cell = &steps_[s][(piece * notes_ + note) * channels_];
          const int velocity = channels_ == 1 ? play_only_velocity : std::clamp(static_cast<int>(std::lround(127 * cell[2])), 1, 127);
          cells[note] = cell[0] == 0 ? 0 : static_cast<Cell>(velocity | (channels_ > 1 && cell[1] > 0 ? replay_bit : 0));
        }
        roll.append(cells);
      }
      made.push_back(std::move(roll));
    }
    return made;
  }

 private:
  // Draws one note of every piece and says what was chosen: [piece][channel].
  std::vector<double> choose(const Prediction& prediction, int64_t note, int64_t position, std::vector<double>& next) {
    const int64_t outputs = prediction.notes.shape().last(), now = static_cast<int64_t>(steps_.size());
    const std::vector<double> logits = prediction.notes.value().values();
    const std::vector<double> volumes = channels_ > 1 ? prediction.volume.value().values() : std::vector<double>();
    std::vector<double> chosen(settings_.pieces * channels_, 0.0);
    for (int64_t piece = 0; piece < settings_.pieces; ++piece) {
      const double temperature = settings_.temperature + warming * static_cast<double>(std::max<int64_t>(0, silent_[piece] - patience_steps + 1));
      const RandomKey key{settings_.seed, static_cast<uint32_t>(piece), static_cast<uint32_t>(now), Stream::sampling};
      const auto happens = [&](double logit, int64_t draw) {
        return uniform_from_bits(key.bits(2 * position + draw)) < 1 / (1 + std::exp(-logit / temperature));
      };
      double* cell = &next[(piece * notes_ + note) * channels_];
      if (!happens(logits[piece * outputs], 0)) continue;
      cell[0] = 1;
      if (channels_ > 1) {
        const bool sounded = now > 0 && steps_[now - 1][(piece * notes_ + note) * channels_] > 0;
        cell[1] = happens(logits[piece * outputs + 1], 1) && sounded;
        cell[2] = std::clamp(volumes[piece], 1.0 / 127, 1.0);
      }
      std::copy(cell, cell + channels_, &chosen[piece * channels_]);
    }
    return chosen;
  }

  void read_prime(const Roll& prime) {
    require(prime.notes() == notes_ && prime.lowest_note() == model_.settings.lowest_note, "prime: ", prime.notes(), " notes from ",
            prime.lowest_note(), ", the model has ", notes_, " from ", model_.settings.lowest_note);
    std::vector<double> one(notes_ * channels_);
    for (int64_t s = 0; s < prime.steps(); ++s) {
      prime.unpack(s, 1, channels_, 0, one.data(), notes_ * channels_);
      std::vector<double> all;
      for (int64_t piece = 0; piece < settings_.pieces; ++piece) all.insert(all.end(), one.begin(), one.end());
      steps_.push_back(std::move(all));
    }
    constexpr int64_t chunk = 64;
    for (int64_t first = -1; settings_.context == 0 && first < prime.steps() - 1; first += chunk)
      read(prepared(first, std::min(chunk, prime.steps() - 1 - first)), first);
  }

  // Feeds input steps from the first on, whose targets, one later, are known.
  void read(const Tensor& steps, int64_t first) { stream_.follow(steps, inputs(first + 1, steps.shape()[0])); }
  Tensor prepared(int64_t first, int64_t count) const { return stream_.prepare(inputs(first, count), beats(first, count)); }

  // With a context: reads the last steps again, from zero state, but for the very last, and gives that one. Each step is
  // prepared once.
  Tensor reread(int64_t now) {
    const int64_t first = now - settings_.context, known = static_cast<int64_t>(window_.size());
    const int64_t missing = known == 0 ? settings_.context : 1;
    const Tensor added = prepared(now - missing, missing);
    for (int64_t i = 0; i < missing; ++i) window_.push_back(added.slice(i, 1));
    while (static_cast<int64_t>(window_.size()) > settings_.context) window_.pop_front();
    stream_.reset();
    if (settings_.context > 1) {
      const Shape& s = added.shape();
      Tensors before;
      for (int64_t i = 0; i + 1 < settings_.context; ++i) before.push_back(window_[i].reshape({1, s[1] * s[2] * s[3]}));
      read(concat_last(before).reshape({settings_.context - 1, s[1], s[2], s[3]}), first);
    }
    return window_.back();
  }

  Tensor tensor(const std::vector<double>& values, Shape shape) const {
    const Tensor& like = model_.note_head.weight.value();
    return Tensor::from(values, shape, like.dtype(), like.device());
  }
  Tensor inputs(int64_t first, int64_t count) const {  // [count, pieces, notes, channels]; zeros before the start
    const int64_t size = settings_.pieces * notes_ * channels_;
    std::vector<double> values(count * size, 0.0);
    for (int64_t i = 0; i < count; ++i)
      if (first + i >= 0) std::copy(steps_[first + i].begin(), steps_[first + i].end(), values.begin() + i * size);
    return tensor(values, {count, settings_.pieces, notes_, channels_});
  }
  Tensor beats(int64_t first, int64_t count) const {
    std::vector<double> values(count * settings_.pieces * steps_per_bar, 0.0);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t piece = 0; piece < settings_.pieces && first + i >= 0; ++piece)
        values[(i * settings_.pieces + piece) * steps_per_bar + (first + i) % steps_per_bar] = 1;
    return tensor(values, {count, settings_.pieces, steps_per_bar});
  }

  const Biaxial& model_;
  const ComposeSettings settings_;
  BiaxialStream stream_;
  int64_t notes_, channels_, first_new_ = 0;
  std::vector<std::vector<double>> steps_;
  std::vector<int64_t> silent_;
  std::deque<Tensor> window_;  // with a context: its steps as the stream prepares them
};

}  // namespace

std::vector<Roll> compose(const Biaxial& model, const ComposeSettings& settings, const std::function<bool(int64_t)>& each_step) {
  Composer composer(model, settings);
  for (int64_t step = 0; step < settings.steps; ++step) {
    composer.step();
    if (each_step && !each_step(step + 1)) break;
  }
  return composer.rolls();
}

}  // namespace poph
