#include "data/roll.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "data/notes.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint64_t high_bits = 0x8080808080808080u;
constexpr int64_t word_notes = 64, word_bytes = 8;
static_assert(std::endian::native == std::endian::little, "a roll takes byte i of a word as note i, or as notes 8 i to 8 i + 7");

// Play, replay and volume of each sounding cell there may be.
template <class T>
constexpr std::array<std::array<T, 3>, 256> unpacked_cells() {
  std::array<std::array<T, 3>, 256> table{};
  for (int cell = 0; cell < 256; ++cell)
    table[cell] = {T{1}, static_cast<T>(cell >> 7), static_cast<T>(cell & velocity_bits) / T{127}};
  return table;
}

// Bit n: cell n of at most 64 sounds.
uint64_t sounding_bits(std::span<const Cell> cells) {
  uint64_t bits = 0;
  for (size_t first = 0; first < cells.size(); first += 8) {
    uint64_t eight = 0;
    if (cells.size() - first >= 8)
      std::memcpy(&eight, &cells[first], 8);
    else
      std::memcpy(&eight, &cells[first], cells.size() - first);
    const uint64_t sounding = ((eight & ~high_bits) + ~high_bits) & high_bits;  // a carry where a velocity is above 0
    bits |= ((sounding >> 7) * 0x0102040810204080u >> 56) << first;             // gathers eight bits
  }
  return bits;
}

// Ticks to steps. A tick beyond the longest piece maps to max_steps, before anything can overflow.
class StepMap {
 public:
  StepMap(const MidiFile& file, int64_t steps_per_quarter)
      : steps_per_quarter_(steps_per_quarter), division_(file.ticks_per_quarter) {
    if (division_ > 0) {
      end_tick_ = max_steps * division_ / steps_per_quarter_;
      return;
    }
    ticks_ = file.smpte_ticks;
    seconds_ = file.smpte_seconds;
    pieces_.push_back({0, 0, 500000});
    for (const auto& tempo : file.tempos) {
      const auto& last = pieces_.back();
      pieces_.push_back({tempo.tick, position(last, tempo.tick), tempo.microseconds});
      if (pieces_.back().position >= max_steps * one_quarter) break;
    }
  }

  int64_t operator()(int64_t tick) const {
    if (division_ > 0) return tick >= end_tick_ ? max_steps : tick * steps_per_quarter_ / division_;
    auto piece = std::upper_bound(pieces_.begin(), pieces_.end(), tick, [](int64_t t, const Piece& p) { return t < p.tick; }) - 1;
    // A tick on a step's edge must not fall below it by the rounding of earlier tempo changes.
    const Wide quarters = std::min(position(*piece, tick) + (one_quarter >> 30), max_steps * one_quarter);
    return static_cast<int64_t>(std::min<Wide>(max_steps, quarters * steps_per_quarter_ / one_quarter));
  }

 private:
  using Wide = __int128;
  static constexpr Wide one_quarter = Wide{1} << 44;

  struct Piece {
    int64_t tick;
    Wide position;  // in quarters, times one_quarter
    int64_t microseconds;
  };

  // SMPTE: seconds pass at an even rate, quarter notes at the tempo of the moment.
  Wide position(const Piece& from, int64_t tick) const {
    const int64_t limit = int64_t{1} << 50;  // hours beyond any piece, and no overflow below
    const Wide ticks = std::min(tick - from.tick, limit), length = Wide{ticks_} * from.microseconds;
    return from.position + (ticks * seconds_ * 1000000 * one_quarter + length / 2) / length;
  }

  int64_t steps_per_quarter_, division_, end_tick_ = 0, ticks_ = 1, seconds_ = 1;
  std::vector<Piece> pieces_;
};

// The merged piece while it is decoded: a row of cells per step.
class Grid {
 public:
  Grid(int64_t steps, int64_t notes) : notes_(notes), cells_(static_cast<size_t>(steps * notes)) {}

  // Volumes add up and are cut off at 1; a replay in any track is one.
  void add(int64_t step, int64_t note, Cell cell) {
    Cell& merged = cells_[step * notes_ + note];
    const int velocity = std::min((merged & velocity_bits) + (cell & velocity_bits), int{velocity_bits});
    merged = static_cast<Cell>(((merged | cell) & replay_bit) | velocity);
  }

  std::span<const Cell> cells() const { return cells_; }

 private:
  int64_t notes_;
  std::vector<Cell> cells_;
};

// One pitch of one track. The step it was last heard or struck in stays open until time has left it, because a louder note or a
// re-strike may still fall into it.
class Voice {
 public:
  void strike(int64_t step, Grid& grid, int64_t note) {
    move_to(step, grid, note);
    struck_ = true;
  }

  void sound(int64_t last, Cell velocity, Grid& grid, int64_t note) {  // from the open step on
    loudest_ = std::max(loudest_, velocity);
    if (last == step_) return;
    move_to(step_ + 1, grid, note);
    for (int64_t step = step_; step < last; ++step) grid.add(step, note, velocity);
    step_ = last;
    loudest_ = velocity;
  }

  // Closes the open step where time has passed it, and opens another one.
  void move_to(int64_t step, Grid& grid, int64_t note) {
    if (step <= step_) return;
    if (loudest_ > 0) grid.add(step_, note, loudest_ | (struck_ && before_ ? replay_bit : 0));
    before_ = loudest_ > 0 && step == step_ + 1;
    step_ = step;
    loudest_ = 0;
    struck_ = false;
  }

 private:
  int64_t step_ = -1;
  Cell loudest_ = 0;     // what sounded in the open step so far
  bool struck_ = false;  // a note-on fell in the open step
  bool before_ = false;  // the pitch plays in the step before the open one
};

class Decoder {
 public:
  Decoder(const MidiFile& file, const RollSettings& settings)
      : by_channel_(file.format == 0),
        settings_(settings),
        step_of_(file, settings.steps_per_quarter),
        events_(std::ssize(file.events)),
        most_steps_(std::min(max_steps, free_steps + steps_per_event * events_)),
        most_sounding_(std::min(max_sounding_steps, free_sounding_steps + sounding_steps_per_event * events_)) {
    pair_notes(file, {settings.percussion, settings.sustain}, list_);
  }

  Roll decode() {
    Grid grid(count_steps(), settings_.notes);
    for (const auto& track : list_.tracks) read(std::span(list_.notes).subspan(track.first_note, track.notes), grid);
    Roll roll(settings_.lowest_note, settings_.notes);
    roll.append(grid.cells());
    roll.shrink();
    return roll;
  }

  int64_t dropped_notes() const { return dropped_notes_; }

 private:
  bool in_range(const Note& note) const {
    return note.pitch >= settings_.lowest_note && note.pitch < settings_.lowest_note + settings_.notes;
  }

  int64_t count_steps() {
    int64_t end_tick = 0;
    for (const Note& note : list_.notes) {
      const bool heard = in_range(note);
      dropped_notes_ += !heard;
      if (heard && note.duration > 0) end_tick = std::max(end_tick, note.onset + note.duration);
    }
    const int64_t steps = end_tick > 0 ? step_of_(end_tick - 1) + 1 : 0;
    require(steps <= most_steps_, "decode: a note sounds at or after step ", most_steps_, ", expected a piece of at most ",
            most_steps_, " steps for ", events_, " events");
    return steps;
  }

  void read(std::span<const Note> notes, Grid& grid) {
    for (const Note& note : notes) {
      if (!in_range(note)) continue;
      auto& voices = parts_[by_channel_ ? note.channel : 0];
      if (voices.empty()) voices.resize(static_cast<size_t>(settings_.notes));
      const int64_t n = note.pitch - settings_.lowest_note, first = step_of_(note.onset);
      voices[n].strike(first, grid, n);
      if (note.duration == 0) continue;
      const int64_t last = step_of_(note.onset + note.duration - 1);
      sounding_ += last - first + 1;
      require(sounding_ <= most_sounding_, "decode: notes sound for more than ", most_sounding_,
              " steps together, expected at most so many for ", events_, " events");
      voices[n].sound(last, note.velocity, grid, n);
    }
    for (auto& voices : parts_) {
      for (size_t n = 0; n < voices.size(); ++n) voices[n].move_to(max_steps + 1, grid, static_cast<int64_t>(n));
      voices.clear();
    }
  }

  const bool by_channel_;
  const RollSettings& settings_;
  StepMap step_of_;
  const int64_t events_, most_steps_, most_sounding_;
  NoteList list_;
  std::array<std::vector<Voice>, 16> parts_;  // a track's, or in format 0 a channel's voices: none until its first note
  int64_t dropped_notes_ = 0, sounding_ = 0;
};

}  // namespace

void check(const RollSettings& settings) {
  require(settings.notes >= 1 && settings.lowest_note >= 0 && settings.lowest_note <= 128 - settings.notes, "roll: notes ",
          settings.lowest_note, " to ", settings.lowest_note + settings.notes - 1,
          ", expected at least one note within 0 to 127");
  require(settings.steps_per_quarter >= 1 && settings.steps_per_quarter <= ticks_per_quarter_written,
          "roll: ", settings.steps_per_quarter, " steps per quarter note, expected 1 to ", ticks_per_quarter_written);
}

Roll::Roll(int64_t lowest_note, int64_t notes) : lowest_note_(lowest_note), notes_(notes) {
  check(RollSettings{.lowest_note = lowest_note, .notes = notes});
}

Roll Roll::from_packed(int64_t lowest_note, int64_t notes, std::span<const uint8_t> play, std::span<const Cell> cells) {
  Roll roll(lowest_note, notes);
  const int64_t row = roll.row_bytes(), steps = std::ssize(play) / row;
  require(std::ssize(play) == steps * row && steps <= max_steps, "roll: ", play.size(), " bytes of ", row, " a step, expected at most ",
          max_steps, " steps");
  roll.play_.reserve(play.size() + (steps > 0 ? word_bytes : 0));
  roll.play_.assign(play.begin(), play.end());
  if (steps > 0) roll.play_.resize(play.size() + word_bytes);
  roll.cells_.assign(cells.begin(), cells.end());
  roll.first_.resize(static_cast<size_t>(steps));
  size_t count = 0;
  const int spare = static_cast<int>(8 * row - notes);  // bits of a row's last byte that are no notes
  bool well = true;
  for (int64_t step = 0; step < steps; ++step) {
    roll.first_[step] = static_cast<uint32_t>(count);
    const uint8_t* bits = &play[step * row];
    for (int64_t i = 0; i < row; ++i) count += static_cast<size_t>(std::popcount(bits[i]));
    well = well && (bits[row - 1] >> (8 - spare)) == 0;
  }
  well = well && std::all_of(cells.begin(), cells.end(), [](Cell cell) { return (cell & velocity_bits) != 0; });
  require(well && count == cells.size(), "roll: ", count, " notes sound in ", steps, " steps of ", notes, ", and there are ", cells.size(),
          " cells for them");
  return roll;
}

void Roll::shrink() {
  play_.shrink_to_fit();
  first_.shrink_to_fit();
  cells_.shrink_to_fit();
}

void Roll::append(std::span<const Cell> cells) {
  const auto size = std::ssize(cells);
  require(notes_ > 0 && size % notes_ == 0, "roll: steps of ", size, " cells, expected a multiple of ", notes_, " notes");
  const int64_t before = steps(), after = before + size / notes_;
  require(after <= max_steps, "roll: a piece of more than ", max_steps, " steps");
  if (size == 0) return;
  require(std::memchr(cells.data(), replay_bit, cells.size()) == nullptr,
          "roll: a note is replayed at volume 0, expected a volume above 0");
  play_.resize(static_cast<size_t>(after * row_bytes() + word_bytes));
  first_.resize(static_cast<size_t>(after));
  std::array<Cell, 4096> packed;  // on its way to cells_, which grows slowly by a few at a time
  size_t count = 0;
  for (int64_t step = before; step < after; ++step) {
    if (count > packed.size() - 128) {
      cells_.insert(cells_.end(), packed.data(), packed.data() + count);
      count = 0;
    }
    first_[step] = static_cast<uint32_t>(cells_.size() + count);
    for (int64_t note = 0; note < notes_; note += word_notes) {
      const Cell* from = &cells[(step - before) * notes_ + note];
      uint64_t bits = sounding_bits({from, static_cast<size_t>(std::min(word_notes, notes_ - note))});
      std::memcpy(&play_[step * row_bytes() + note / 8], &bits, sizeof bits);
      for (; bits != 0; bits &= bits - 1) packed[count++] = from[std::countr_zero(bits)];
    }
  }
  cells_.insert(cells_.end(), packed.data(), packed.data() + count);
}

// A call for each step would take longer than most steps' few notes.
template <class F>
[[gnu::always_inline]] inline void Roll::each_sounding(int64_t step, F visit) const {
  if (step < 0 || step >= steps()) return;
  const uint8_t* row = &play_[step * row_bytes()];
  const Cell* cell = cells_.data() + first_[step];
  for (int64_t note = 0; note < notes_; note += word_notes) {
    uint64_t bits;
    std::memcpy(&bits, row + note / 8, sizeof bits);
    if (notes_ - note < word_notes) bits &= (uint64_t{1} << (notes_ - note)) - 1;  // the rest is the next row's
    for (; bits != 0; bits &= bits - 1) visit(note + std::countr_zero(bits), *cell++);
  }
}

int64_t Roll::bytes() const {
  return static_cast<int64_t>(sizeof *this + play_.capacity() + first_.capacity() * sizeof(uint32_t) + cells_.capacity());
}

Cell Roll::cell(int64_t step, int64_t note) const {
  Cell found = 0;
  each_sounding(step, [&](int64_t n, Cell cell) { found = n == note ? cell : found; });
  return found;
}

void Roll::row(int64_t step, std::span<Cell> cells) const {
  require(static_cast<int64_t>(cells.size()) == notes_, "roll: room for ", cells.size(), " notes, expected ", notes_);
  std::fill(cells.begin(), cells.end(), Cell{0});
  each_sounding(step, [&](int64_t note, Cell cell) { cells[note] = cell; });
}

std::array<uint64_t, 2> Roll::play_bits(int64_t step) const {
  std::array<uint64_t, 2> bits{};
  each_sounding(step, [&](int64_t note, Cell) { bits[note / 64] |= uint64_t{1} << note % 64; });
  return bits;
}

std::vector<Stroke> strokes(const Roll& roll) {
  std::vector<Stroke> found;
  std::vector<Cell> cells(roll.notes());
  std::vector<size_t> sounding(roll.notes(), SIZE_MAX);  // of each note the stroke that sounds
  for (int64_t step = 0; step < roll.steps(); ++step) {
    roll.row(step, cells);
    for (int64_t note = 0; note < roll.notes(); ++note) {
      if (cells[note] == 0) {
        sounding[note] = SIZE_MAX;
        continue;
      }
      if (sounding[note] == SIZE_MAX || (cells[note] & replay_bit)) {
        sounding[note] = found.size();
        found.push_back({step, step, roll.lowest_note() + note});
      }
      found[sounding[note]].end = step + 1;
    }
  }
  return found;
}

int64_t Roll::replays() const {
  return std::count_if(cells_.begin(), cells_.end(), [](Cell cell) { return (cell & replay_bit) != 0; });
}

double Roll::volume_sum() const {
  int64_t sum = 0;
  for (Cell cell : cells_) sum += cell & velocity_bits;
  return static_cast<double>(sum) / 127;
}

template <int channels, class T>
void Roll::unpack_to(int64_t first_step, int64_t count, int64_t pitch_shift, T* out, int64_t step_stride) const {
  static constexpr auto unpacked = unpacked_cells<T>();
  for (int64_t k = 0; k < count; ++k, out += step_stride) {
    std::memset(out, 0, static_cast<size_t>(notes_ * channels) * sizeof(T));
    each_sounding(first_step + k, [&](int64_t note, Cell cell) {
      const int64_t n = note + pitch_shift;
      if (n >= 0 && n < notes_) std::memcpy(out + n * channels, unpacked[cell].data(), channels * sizeof(T));
    });
  }
}

template <class T>
void Roll::unpack(int64_t first_step, int64_t count, int64_t channels, int64_t pitch_shift, T* out, int64_t step_stride) const {
  require(channels == 1 || channels == 3, "roll: unpack to ", channels, " channels, expected 1 or 3");
  if (channels == 1) unpack_to<1>(first_step, count, pitch_shift, out, step_stride);
  if (channels == 3) unpack_to<3>(first_step, count, pitch_shift, out, step_stride);
}

template void Roll::unpack(int64_t, int64_t, int64_t, int64_t, float*, int64_t) const;
template void Roll::unpack(int64_t, int64_t, int64_t, int64_t, double*, int64_t) const;

Roll decode(const MidiFile& file, const RollSettings& settings, DecodeReport* report) {
  check(settings);
  Decoder decoder(file, settings);
  Roll roll = decoder.decode();
  if (report) *report = {decoder.dropped_notes(), static_cast<int64_t>(file.tracks.size()), file.seconds()};
  return roll;
}

std::vector<uint8_t> encode(const Roll& roll, double beats_per_minute, int64_t steps_per_quarter) {
  require(steps_per_quarter >= 1 && ticks_per_quarter_written % steps_per_quarter == 0, "encode: ", steps_per_quarter,
          " steps per quarter note, expected a divisor of ", ticks_per_quarter_written);
  const int64_t ticks_per_step = ticks_per_quarter_written / steps_per_quarter, notes = roll.notes();
  MidiWriter writer(ticks_per_quarter_written, beats_per_minute);
  std::vector<Cell> before(static_cast<size_t>(notes)), now(before);
  for (int64_t step = 0; step <= roll.steps(); ++step) {  // one silent step more ends what still sounds
    roll.row(step, now);
    const int64_t tick = step * ticks_per_step;
    for (int64_t n = 0; n < notes; ++n)
      if (before[n] != 0 && (now[n] == 0 || (now[n] & replay_bit))) writer.note_off(tick, roll.lowest_note() + n);
    for (int64_t n = 0; n < notes; ++n)
      if (now[n] != 0 && (before[n] == 0 || (now[n] & replay_bit)))
        writer.note_on(tick, roll.lowest_note() + n, now[n] & velocity_bits);
    before.swap(now);
  }
  return writer.finish(roll.steps() * ticks_per_step);
}

}  // namespace poph
