#include "experiments/compose/composer.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <set>

#include "data/windows.h"
#include "experiments/compose/history.h"
#include "experiments/compose/particles.h"

namespace poph {
namespace {

constexpr int64_t patience_steps = 16;  // silent steps before a piece is warmed up
constexpr double warming = 0.1;         // a step
constexpr int play_only_velocity = 80;  // of the notes of a play-only model
constexpr double thin = 1.5;            // an effective sample size that is as good as one particle

// The log of the probability that a draw with this logit comes out as it did.
double log_probability(double logit, bool happened) {
  const double x = std::max(happened ? logit : -logit, -1e12);  // infinite at a temperature near 0
  return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x)));
}

// Composes all pieces at once. Each column of the batch is a piece, or one of the particles of a piece, which lie side
// by side.
class Composer {
 public:
  Composer(const Biaxial& model, const ComposeSettings& settings)
      : model_(model),
        settings_(checked(settings)),
        bars_(settings_.meters, settings.steps_per_quarter),
        decoder_(model),
        notes_(model.settings.notes),
        channels_(model.settings.channels),
        particles_(settings_.particles),
        columns_(settings_.pieces * particles_),
        history_(settings_.pieces, particles_),
        silent_(columns_, 0),
        conditions_(settings_.pieces, Condition{Particles(particles_)}) {
    require(!settings_.constraint || settings_.constraint->notes == notes_, "compose: a constraint of ",
            settings_.constraint ? settings_.constraint->notes : 0, " notes, and the model has ", notes_);
    require(std::ssize(settings_.style) == model.settings.styles, "compose: shares of ", settings_.style.size(),
            " styles, and the model has ", model.settings.styles);
    if (model.settings.match) finders_.assign(columns_, MatchFinder(notes_, channels_));
    if (settings.prime) read_prime(*settings.prime);
    first_new_ = history_.steps();
  }

  void step() {
    const int64_t now = history_.steps();
    if (settings_.context > 0)
      decoder_.begin_step(reread(now), matches(now, 1), styles(1));
    else
      decoder_.begin_step(prepared(now - 1, 1), matches(now, 1), styles(1));
    std::vector<double> next(columns_ * notes_ * channels_, 0.0), chosen;
    sounding_.assign(columns_, 0);
    if (settings_.watcher) logits_.assign(columns_ * notes_, 0.0F);
    given_left_ = settings_.constraint ? settings_.constraint->given_notes(now - first_new_) : 0;
    for (int64_t position = 0; position < notes_; ++position) {
      const Prediction prediction =
          decoder_.next_note(position, position ? tensor(chosen, {1, columns_, 1, channels_}) : Tensor());
      chosen = choose(prediction, model_.settings.descending ? notes_ - 1 - position : position, position, next);
    }
    decoder_.end_step();
    for (int64_t column = 0; column < columns_; ++column)
      silent_[column] = sounding_[column] > 0 ? 0 : silent_[column] + 1;
    append(next);
    if (settings_.constraint) resample(now);
  }

  // The pieces as far as they are, of each the particle that is drawn, and what their conditions did.
  std::vector<Roll> rolls(std::vector<ConditionReport>* reports) const {
    std::vector<Roll> made;
    for (int64_t piece = 0; piece < settings_.pieces; ++piece) {
      const Particles& particles = conditions_[piece].particles;
      made.push_back(roll(piece * particles_ + drawn(piece)));
      if (reports)
        reports->push_back({particles.log_probability(), particles.smallest_effective_size(), particles.resampled(),
                            static_cast<int64_t>(conditions_[piece].thin_bars.size())});
    }
    return made;
  }

  // Shows the first piece to who looks on.
  void show(bool finished) {
    if (!settings_.watcher) return;
    const int64_t column = finished ? drawn(0) : conditions_[0].particles.heaviest(), all = history_.steps();
    int64_t first = first_new_ + settled_;
    while (first < all && first < first_new_ + std::ssize(shown_) &&
           shown_[first - first_new_] == history_.shared_at(first, column))
      ++first;
    settled_ = (finished ? all : std::max(history_.settled(0), first_new_)) - first_new_;
    PieceSoFar piece{all - first_new_, settled_, first - first_new_, {}};
    shown_.resize(first - first_new_);
    for (int64_t step = first; step < all; ++step) {
      shown_.push_back(history_.shared_at(step, column));
      piece.fresh.push_back(composed_step(step, column));
    }
    settings_.watcher(piece);
  }

 private:
  struct Condition {
    Particles particles;
    bool weighed = false;              // in this step
    std::set<int64_t> thin_bars = {};  // their first steps
  };

  int64_t drawn(int64_t piece) const {
    return particles_ == 1 ? 0 : conditions_[piece].particles.draw(uniform(piece, history_.steps(), 0));
  }

  Cell cell_of(int64_t s, int64_t column, int64_t note) const {
    const double* cell = &history_.at(s, column).cells[note * channels_];
    const FixedCell fixed = s < first_new_ ? FixedCell{} : fixed_cell(s, note);
    const bool given = fixed.play == Play::sounds, sounded = s > 0 && sounds(s - 1, column, note);
    const int velocity = given            ? fixed.velocity
                         : channels_ == 1 ? play_only_velocity
                                          : std::clamp(static_cast<int>(std::lround(127 * cell[2])), 1, 127);
    const bool replayed = channels_ > 1 ? cell[1] > 0 : fixed.struck && sounded;
    return cell[0] == 0 ? 0 : static_cast<Cell>(velocity | (replayed ? replay_bit : 0));
  }

  ComposedStep composed_step(int64_t s, int64_t column) const {
    ComposedStep step;
    for (int64_t note = 0; note < notes_; ++note) {
      const double logit = history_.at(s, column).logits[note];
      const Cell cell = cell_of(s, column, note);
      step.log_probability += log_probability(logit, cell != 0);
      if (cell != 0)
        step.notes.push_back({note, cell, 1 / (1 + std::exp(-logit)), fixed_cell(s, note).play == Play::sounds});
    }
    return step;
  }

  Roll roll(int64_t column) const {
    Roll roll(model_.settings.lowest_note, notes_);
    std::vector<Cell> cells(notes_);
    for (int64_t s = settings_.keep_prime ? 0 : first_new_; s < history_.steps(); ++s) {
      for (int64_t note = 0; note < notes_; ++note) cells[note] = cell_of(s, column, note);
      roll.append(cells);
    }
    roll.set_meters(bars_.changes_from(settings_.keep_prime ? 0 : first_new_));
    return roll;
  }

  bool sounds(int64_t step, int64_t column, int64_t note) const {
    return history_.at(step, column).cells[note * channels_] > 0;
  }
  FixedCell fixed_cell(int64_t step, int64_t note) const {
    return settings_.constraint ? settings_.constraint->at(step - first_new_, note) : FixedCell{};
  }
  // Numbers of a piece that are drawn at a step, behind those of all its notes.
  double uniform(int64_t piece, int64_t step, int64_t draw) const {
    const RandomKey key{settings_.seed, static_cast<uint32_t>(piece), static_cast<uint32_t>(step), RandomUse::sampling};
    return uniform_from_bits(key.bits(2 * notes_ * particles_ + draw));
  }

  // Draws one note of every column into `next`, or takes what is fixed and weighs it. Returns the chosen values,
  // [column][channel].
  std::vector<double> choose(const Prediction& prediction, int64_t note, int64_t position, std::vector<double>& next) {
    const int64_t outputs = prediction.notes.shape().last(), now = history_.steps();
    const std::vector<double> logits = prediction.notes.value().values();
    const std::vector<double> volumes = channels_ > 1 ? prediction.volume.value().values() : std::vector<double>();
    std::vector<double> chosen(columns_ * channels_, 0.0);
    const FixedCell fixed = fixed_cell(now, note);
    const bool given = fixed.play == Play::sounds;
    given_left_ -= given;
    for (int64_t column = 0; column < columns_; ++column) {
      const int64_t piece = column / particles_, particle = column % particles_;
      const double temperature = settings_.temperature + warming * static_cast<double>(std::max<int64_t>(
                                                                       0, silent_[column] - patience_steps + 1));
      const RandomKey key{settings_.seed, static_cast<uint32_t>(piece), static_cast<uint32_t>(now),
                          RandomUse::sampling};
      const auto happens = [&](double logit, int64_t draw) {
        return uniform_from_bits(key.bits(2 * (particle * notes_ + position) + draw)) <
               1 / (1 + std::exp(-logit / temperature));
      };
      const auto weigh = [&](double logit, bool happened) {
        conditions_[piece].particles.weigh(particle, log_probability(logit / temperature, happened));
        conditions_[piece].weighed = true;
      };
      const double play = logits[column * outputs];
      if (settings_.watcher) logits_[column * notes_ + note] = static_cast<float>(play);
      const bool full = !given && is_full(column);
      if (given || full || fixed.play == Play::silent) weigh(play, given);
      if (!given && (full || fixed.play == Play::silent || !happens(play, 0))) continue;
      double* cell = &next[(column * notes_ + note) * channels_];
      cell[0] = 1;
      ++sounding_[column];
      if (channels_ > 1) {
        const double replay = logits[column * outputs + 1];
        const bool sounded = now > 0 && sounds(now - 1, column, note);
        if (given && sounded) weigh(replay, fixed.struck);
        cell[1] = (given ? fixed.struck : happens(replay, 1)) && sounded;
        cell[2] = given ? fixed.velocity / 127.0 : std::clamp(volumes[column], 1.0 / 127, 1.0);
      }
      std::copy(cell, cell + channels_, &chosen[column * channels_]);
    }
    return chosen;
  }

  // Whether as many notes as may sound do so in this step, with those that are given of it.
  bool is_full(int64_t column) const {
    const int64_t most = settings_.constraint ? settings_.constraint->most_notes : 0;
    return most > 0 && sounding_[column] + given_left_ >= most;
  }

  // At the end of step `now`.
  void resample(int64_t now) {
    Columns columns;
    bool anew = false;
    for (int64_t piece = 0; piece < settings_.pieces; ++piece) {
      Condition& condition = conditions_[piece];
      if (condition.weighed && condition.particles.effective_size() < thin)
        condition.thin_bars.insert(bars_.bar_of(now).first);
      condition.weighed = false;
      const Columns ancestors = condition.particles.end_step(uniform(piece, now, 1));
      anew = anew || !ancestors.empty();
      for (int64_t particle = 0; particle < particles_; ++particle)
        columns.push_back(piece * particles_ + (ancestors.empty() ? particle : ancestors[particle]));
    }
    if (!anew) return;
    if (settings_.context == 0) decoder_.select(columns);  // with a context it reads all of it anew
    history_.select(columns);
    for (Tensor& step : window_) step = select_columns(step, 1, columns);
    silent_ = selected(silent_, columns);
    finders_ = finders_.empty() ? finders_ : selected(finders_, columns);
  }
  template <class T>
  static std::vector<T> selected(const std::vector<T>& all, const Columns& columns) {
    std::vector<T> chosen;
    for (const int64_t column : columns) chosen.push_back(all[column]);
    return chosen;
  }

  void read_prime(const Roll& prime) {
    require(prime.notes() == notes_ && prime.lowest_note() == model_.settings.lowest_note, "prime: ", prime.notes(),
            " notes from ", prime.lowest_note(), ", the model has ", notes_, " from ", model_.settings.lowest_note);
    MatchFinder finder(notes_, channels_);
    for (int64_t s = 0; s < prime.steps(); ++s) {
      HistoryStep one{std::vector<double>(notes_ * channels_), {}};
      prime.unpack(s, 1, channels_, 0, one.cells.data(), notes_ * channels_);
      if (model_.settings.match) one.next = looked_up(finder, one.cells);
      history_.append_shared(std::make_shared<const HistoryStep>(std::move(one)));
    }
    if (model_.settings.match) finders_.assign(columns_, finder);
    const int64_t chunk = std::min<int64_t>(64, steps_at_once());
    for (int64_t first = -1; settings_.context == 0 && first < prime.steps() - 1; first += chunk)
      read(prepared(first, std::min(chunk, prime.steps() - 1 - first)), first);
  }

  // Appends a step of all columns, [column][note][channel], to the history.
  void append(const std::vector<double>& step) {
    const int64_t size = notes_ * channels_;
    std::vector<History::Column> columns(columns_);
    for (int64_t column = 0; column < columns_; ++column) {
      HistoryStep one{{step.begin() + column * size, step.begin() + (column + 1) * size}, {}};
      if (settings_.watcher) one.logits.assign(&logits_[column * notes_], &logits_[column * notes_] + notes_);
      if (model_.settings.match) one.next = looked_up(finders_[column], one.cells);
      columns[column] = std::make_shared<const HistoryStep>(std::move(one));
    }
    history_.append(columns);
  }

  // Finds what the next step of a column may repeat, after these cells: [note][channel].
  Matches looked_up(MatchFinder& finder, const std::vector<double>& cells) const {
    Frame frame;
    for (int64_t note = 0; note < notes_; ++note)
      if (cells[note * channels_] > 0) frame.set(note, channels_ > 1 && cells[note * channels_ + 1] > 0);
    finder.append(frame);
    return finder.next();
  }

  // Carries the state over input steps from `first` on, whose targets (one step later) are known.
  void read(const Tensor& steps, int64_t first) {
    const int64_t count = steps.shape()[0];
    decoder_.skip(steps, inputs(first + 1, count), matches(first + 1, count), styles(count));
  }
  Tensor prepared(int64_t first, int64_t count) const {
    return decoder_.prepare({.input = inputs(first, count),
                             .target = {},
                             .beat = beats(first, count),
                             .match = matches(first + 1, count),
                             .style = styles(count)});
  }

  // With a context: reads its steps but the last from a zero state, and returns the last. Each step is prepared once.
  Tensor reread(int64_t now) {
    const int64_t first = now - settings_.context, known = static_cast<int64_t>(window_.size());
    const int64_t missing = known == 0 ? settings_.context : 1;
    for (int64_t begin = now - missing, count; begin < now; begin += count) {
      count = std::min(steps_at_once(), now - begin);
      const Tensor added = prepared(begin, count);
      for (int64_t i = 0; i < count; ++i) window_.push_back(added.slice(i, 1));
    }
    while (static_cast<int64_t>(window_.size()) > settings_.context) window_.pop_front();
    decoder_.reset();
    if (settings_.context > 1) {
      const Shape& s = window_.back().shape();
      const int64_t before = settings_.context - 1;
      for (int64_t begin = 0, count; begin < before; begin += count) {
        count = std::min(steps_at_once(), before - begin);
        Tensors some;
        for (int64_t i = begin; i < begin + count; ++i) some.push_back(window_[i].reshape({1, s[1] * s[2] * s[3]}));
        read(concat_last(some).reshape({count, s[1], s[2], s[3]}), first + begin);
      }
    }
    return window_.back();
  }

  int64_t steps_at_once() const { return std::max<int64_t>(1, cells_composed_at_once / (columns_ * notes_)); }

  Tensor tensor(const std::vector<double>& values, Shape shape) const {
    const Tensor& like = model_.note_head.weight.value();
    return Tensor::from(values, shape, like.dtype(), like.device());
  }
  Tensor inputs(int64_t first, int64_t count) const {  // [count, columns, notes, channels]; zeros before the start
    const int64_t size = notes_ * channels_;
    std::vector<double> values(count * columns_ * size, 0.0);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t column = 0; column < columns_ && first + i >= 0; ++column) {
        const std::vector<double>& cells = history_.at(first + i, column).cells;
        std::copy(cells.begin(), cells.end(), values.begin() + (i * columns_ + column) * size);
      }
    return tensor(values, {count, columns_, notes_, channels_});
  }
  // The match features of these steps: [count, columns, notes, features]; zeros up to the first step.
  Tensor matches(int64_t first, int64_t count) const {
    const int64_t width = model_.settings.match_width(), row = notes_ * width;
    if (width == 0) return {};
    std::vector<double> values(count * columns_ * row, 0.0);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t column = 0; column < columns_ && first + i > 0; ++column) {
        const Matches& found = history_.at(first + i - 1, column).next;
        const auto predicted = [&](const Match& match) {
          return match.length == 0 ? nullptr : history_.at(match.from, column).cells.data();
        };
        write_match_features(found, predicted(found.exact), predicted(found.transposed), notes_, channels_, 0,
                             &values[(i * columns_ + column) * row]);
      }
    return tensor(values, {count, columns_, notes_, width});
  }
  // The same mixture in all steps of all columns: [count, columns, styles].
  Tensor styles(int64_t count) const {
    if (settings_.style.empty()) return {};
    std::vector<double> values;
    for (int64_t i = 0; i < count * columns_; ++i)
      values.insert(values.end(), settings_.style.begin(), settings_.style.end());
    return tensor(values, {count, columns_, std::ssize(settings_.style)});
  }
  Tensor beats(int64_t first, int64_t count) const {
    std::vector<double> values(count * columns_ * beat_places, 0.0);
    for (int64_t i = 0; i < count; ++i)
      for (int64_t column = 0; column < columns_ && first + i >= 0; ++column)
        values[(i * columns_ + column) * beat_places + bars_.beat_place(first + i)] = 1;
    return tensor(values, {count, columns_, beat_places});
  }

  const Biaxial& model_;
  const ComposeSettings settings_;
  const Bars bars_;
  BiaxialDecoder decoder_;
  int64_t notes_, channels_, particles_, columns_, first_new_ = 0;
  History history_;
  std::vector<int64_t> silent_;         // of each column: the silent steps in a row
  std::vector<MatchFinder> finders_;    // of each column, for a model with match features
  std::deque<Tensor> window_;           // with a context: its steps as the decoder prepares them
  std::vector<Condition> conditions_;   // of each piece
  std::vector<int64_t> sounding_;       // of each column: the notes of this step so far
  std::vector<float> logits_;           // of this step, where somebody looks on: [column][note]
  std::vector<History::Column> shown_;  // to who looks on: the steps from first_new_ on
  int64_t settled_ = 0;                 // of them
  int64_t given_left_ = 0;              // of this step: the given notes that come behind this one
};

}  // namespace

std::vector<Roll> compose(const Biaxial& model, const ComposeSettings& settings,
                          const std::function<bool(int64_t)>& each_step, std::vector<ConditionReport>* reports) {
  require_memory(model, settings);
  Composer composer(model, settings);
  for (int64_t step = 0; step < settings.steps; ++step) {
    composer.step();
    composer.show(false);
    if (each_step && !each_step(step + 1)) break;
  }
  composer.show(true);
  return composer.rolls(reports);
}

}  // namespace poph
