#include "data/roll.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint8_t note_off_kind = 0x80, note_on_kind = 0x90;
constexpr int percussion_channel = 9;  // the tenth

constexpr uint64_t high_bits = 0x8080808080808080u;
static_assert(std::endian::native == std::endian::little, "Roll::append takes byte i of a word as note i");

template <class T>
constexpr std::array<T, 128> volumes() {
  std::array<T, 128> table{};
  for (int k = 0; k < 128; ++k) table[k] = static_cast<T>(k) / T{127};
  return table;
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

// The merged piece while it is decoded: a row of cells per step, grown as notes come.
class Grid {
 public:
  explicit Grid(int64_t notes) : notes_(notes) {}

  // Volumes add up and are cut off at 1; a replay in any track is one.
  void add(int64_t step, int64_t note, Cell cell) {
    Cell& merged = cells_[step * notes_ + note];
    sounding_cells_ += merged == 0;
    const int velocity = std::min((merged & velocity_bits) + (cell & velocity_bits), int{velocity_bits});
    merged = static_cast<Cell>(((merged | cell) & replay_bit) | velocity);
  }

  void make_room(int64_t first, int64_t last) {  // for a note that sounds in steps [first, last]
    require(last < max_steps, "decode: a note sounds at or after step ", max_steps, ", expected a piece of at most ", max_steps,
            " steps");
    sounding_ += last - first + 1;
    require(sounding_ <= max_sounding_steps, "decode: notes sound for more than ", max_sounding_steps,
            " steps together, expected at most so many");
    const auto size = static_cast<size_t>((last + 1) * notes_);
    if (cells_.size() < size) cells_.resize(size);
  }

  Roll packed(int64_t lowest_note) const {
    const int64_t steps = static_cast<int64_t>(cells_.size()) / notes_;
    Roll roll(lowest_note, notes_);
    roll.reserve(steps, sounding_cells_);
    for (int64_t step = 0; step < steps; ++step) roll.append(std::span(cells_).subspan(step * notes_, notes_));
    return roll;
  }

 private:
  int64_t notes_, sounding_ = 0, sounding_cells_ = 0;
  std::vector<Cell> cells_;
};

// One pitch of one track: the note that sounds, and the step it was last heard or struck in, which stays open until time has
// left it, because a louder note or a re-strike may still fall into it.
class Voice {
 public:
  void strike(int64_t tick, uint8_t velocity, const StepMap& step_of, Grid& grid, int64_t note) {
    release(tick, step_of, grid, note);
    move_to(step_of(tick), grid, note);
    struck_ = true;
    velocity_ = velocity;
    on_tick_ = tick;
  }

  void release(int64_t tick, const StepMap& step_of, Grid& grid, int64_t note) {
    held_by_pedal = false;
    if (velocity_ > 0 && tick > on_tick_) {
      const int64_t first = step_of(on_tick_), last = step_of(tick - 1);
      grid.make_room(first, last);
      loudest_ = std::max(loudest_, velocity_);  // strike() opened step `first`
      if (last > first) {
        move_to(first + 1, grid, note);
        for (int64_t step = first + 1; step < last; ++step) grid.add(step, note, velocity_);
        step_ = last;
        loudest_ = velocity_;
      }
    }
    velocity_ = 0;
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

  bool sounds() const { return velocity_ > 0; }
  uint8_t pedal_channel = 0;
  bool held_by_pedal = false;  // its note-off has come, the pedal of pedal_channel keeps it on

 private:
  int64_t on_tick_ = 0, step_ = -1;
  uint8_t velocity_ = 0;  // of the note that sounds, 0 for none
  Cell loudest_ = 0;      // what sounded in the open step so far
  bool struck_ = false;   // a note-on fell in the open step
  bool before_ = false;   // the pitch plays in the step before the open one
};

class Decoder {
 public:
  Decoder(const MidiFile& file, const RollSettings& settings)
      : file_(file), settings_(settings), step_of_(file, settings.steps_per_quarter), grid_(settings.notes) {}

  Roll decode() {
    for (const auto& track : file_.tracks) read(track);
    return grid_.packed(settings_.lowest_note);
  }

  int64_t dropped_notes() const { return dropped_notes_; }

 private:
  // The voices of a part, which is a track, or in format 0 a channel: silent until the track's first note there.
  std::vector<Voice>& part(const MidiEvent& event) {
    auto& voices = parts_[file_.format == 0 ? event.channel : 0];
    if (voices.empty()) voices.resize(static_cast<size_t>(settings_.notes));
    return voices;
  }

  void read(const MidiTrack& track) {
    pedal_.fill(false);
    for (const auto& event : std::span(file_.events).subspan(track.first_event, track.events)) {
      if (event.channel == percussion_channel && !settings_.percussion) continue;
      if (event.kind != note_on_kind && event.kind != note_off_kind) {
        if (settings_.sustain) move_pedal(event);
        continue;
      }
      const int64_t note = event.key - settings_.lowest_note;
      if (note < 0 || note >= settings_.notes) {
        dropped_notes_ += event.kind == note_on_kind;
        continue;
      }
      Voice& voice = part(event)[note];
      if (event.kind == note_on_kind) {
        voice.strike(event.tick, event.value, step_of_, grid_, note);
      } else if (pedal_[event.channel] && voice.sounds()) {
        voice.held_by_pedal = true;
        voice.pedal_channel = event.channel;
      } else {
        voice.release(event.tick, step_of_, grid_, note);
      }
    }
    for (auto& voices : parts_) {
      for (size_t note = 0; note < voices.size(); ++note) {
        voices[note].release(track.end_tick, step_of_, grid_, static_cast<int64_t>(note));
        voices[note].move_to(max_steps + 1, grid_, static_cast<int64_t>(note));
      }
      voices.clear();
    }
  }

  void move_pedal(const MidiEvent& event) {
    const bool down = event.value >= 64;
    auto& voices = part(event);
    if (!down && pedal_[event.channel])
      for (size_t note = 0; note < voices.size(); ++note)
        if (voices[note].held_by_pedal && voices[note].pedal_channel == event.channel)
          voices[note].release(event.tick, step_of_, grid_, static_cast<int64_t>(note));
    pedal_[event.channel] = down;
  }

  const MidiFile& file_;
  const RollSettings& settings_;
  StepMap step_of_;
  Grid grid_;
  std::array<std::vector<Voice>, 16> parts_;
  std::array<bool, 16> pedal_{};
  int64_t dropped_notes_ = 0;
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

void Roll::reserve(int64_t steps, int64_t sounding_cells) {
  play_.reserve(static_cast<size_t>(steps * ((notes_ + 7) / 8)));
  first_.reserve(static_cast<size_t>(steps));
  cells_.reserve(static_cast<size_t>(sounding_cells));
}

void Roll::shrink() {
  play_.shrink_to_fit();
  first_.shrink_to_fit();
  cells_.shrink_to_fit();
}

void Roll::append(std::span<const Cell> cells) {
  require(static_cast<int64_t>(cells.size()) == notes_, "roll: a step of ", cells.size(), " notes, expected ", notes_);
  require(steps() < max_steps, "roll: a piece of more than ", max_steps, " steps");
  std::array<Cell, 128> packed;
  std::array<uint8_t, 16> play;
  size_t count = 0, row_bytes = 0;
  for (size_t first = 0; first < cells.size(); first += 8) {  // eight cells at once, as most are silent
    uint64_t eight = 0;
    std::memcpy(&eight, &cells[first], std::min<size_t>(8, cells.size() - first));
    const uint64_t sounding = ((eight & ~high_bits) + ~high_bits) & high_bits;  // a carry where a velocity is above 0
    require((eight & high_bits & ~sounding) == 0, "roll: a note is replayed at volume 0, expected a volume above 0");
    const auto bits = static_cast<uint8_t>((sounding >> 7) * 0x0102040810204080u >> 56);  // gathers the eight bits
    for (unsigned rest = bits; rest != 0; rest &= rest - 1) packed[count++] = cells[first + std::countr_zero(rest)];
    play[row_bytes++] = bits;
  }
  first_.push_back(static_cast<uint32_t>(cells_.size()));
  cells_.insert(cells_.end(), packed.data(), packed.data() + count);
  play_.insert(play_.end(), play.data(), play.data() + row_bytes);
}

template <class F>
void Roll::each_sounding(int64_t step, F visit) const {
  if (step < 0 || step >= steps()) return;
  const int64_t row_bytes = (notes_ + 7) / 8;
  const Cell* cell = cells_.data() + first_[step];
  for (int64_t i = 0; i < row_bytes; ++i)
    for (unsigned bits = play_[step * row_bytes + i]; bits != 0; bits &= bits - 1) visit(i * 8 + std::countr_zero(bits), *cell++);
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

int64_t Roll::replays() const {
  return std::count_if(cells_.begin(), cells_.end(), [](Cell cell) { return (cell & replay_bit) != 0; });
}

double Roll::volume_sum() const {
  int64_t sum = 0;
  for (Cell cell : cells_) sum += cell & velocity_bits;
  return static_cast<double>(sum) / 127;
}

template <class T>
void Roll::unpack(int64_t first_step, int64_t count, int64_t channels, int64_t pitch_shift, T* out, int64_t step_stride) const {
  static constexpr auto volume = volumes<T>();
  require(channels == 1 || channels == 3, "roll: unpack to ", channels, " channels, expected 1 or 3");
  for (int64_t k = 0; k < count; ++k, out += step_stride) {
    std::fill_n(out, notes_ * channels, T{0});
    each_sounding(first_step + k, [&](int64_t note, Cell cell) {
      const int64_t n = note + pitch_shift;
      if (n < 0 || n >= notes_) return;
      T* at = out + n * channels;
      at[0] = 1;
      if (channels == 1) return;
      at[1] = (cell & replay_bit) != 0;
      at[2] = volume[cell & velocity_bits];
    });
  }
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
