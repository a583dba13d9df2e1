#include "data/music/roll.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "tensor/error.h"

namespace poph {
namespace {

constexpr uint64_t high_bits = 0x8080808080808080u;
constexpr int64_t word_notes = 64, word_bytes = 8;
static_assert(std::endian::native == std::endian::little,
              "a roll takes byte i of a word as note i, or as notes 8 i to 8 i + 7");

// Play, replay and volume of each cell that sounds.
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

}  // namespace

void check(const RollSettings& settings) {
  require(settings.notes >= 1 && settings.lowest_note >= 0 && settings.lowest_note <= 128 - settings.notes,
          "roll: notes ", settings.lowest_note, " to ", settings.lowest_note + settings.notes - 1,
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
  require(std::ssize(play) == steps * row && steps <= max_steps, "roll: ", play.size(), " bytes of ", row,
          " a step, expected at most ", max_steps, " steps");
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
  require(well && count == cells.size(), "roll: ", count, " notes sound in ", steps, " steps of ", notes,
          ", and there are ", cells.size(), " cells for them");
  return roll;
}

void Roll::shrink() {
  play_.shrink_to_fit();
  first_.shrink_to_fit();
  cells_.shrink_to_fit();
}

void Roll::append(std::span<const Cell> cells) {
  const auto size = std::ssize(cells);
  require(notes_ > 0 && size % notes_ == 0, "roll: steps of ", size, " cells, expected a multiple of ", notes_,
          " notes");
  const int64_t before = steps(), after = before + size / notes_;
  require(after <= max_steps, "roll: a piece of more than ", max_steps, " steps");
  if (size == 0) return;
  require(std::memchr(cells.data(), replay_bit, cells.size()) == nullptr,
          "roll: a note is replayed at volume 0, expected a volume above 0");
  play_.resize(static_cast<size_t>(after * row_bytes() + word_bytes));
  first_.resize(static_cast<size_t>(after));
  std::array<Cell, 4096> packed;  // because cells_ grows slowly by a few at a time
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

// Inlined: a call for each step would take longer than the few notes of most steps.
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
  return static_cast<int64_t>(sizeof *this + play_.capacity() + first_.capacity() * sizeof(uint32_t) +
                              cells_.capacity());
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

std::vector<NoteSpan> note_spans(const Roll& roll) {
  std::vector<NoteSpan> found;
  std::vector<Cell> cells(roll.notes());
  std::vector<size_t> sounding(roll.notes(), SIZE_MAX);  // for each note its span that is open
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
void Roll::unpack(int64_t first_step, int64_t count, int64_t channels, int64_t pitch_shift, T* out,
                  int64_t step_stride) const {
  require(channels == 1 || channels == 3, "roll: unpack to ", channels, " channels, expected 1 or 3");
  if (channels == 1) unpack_to<1>(first_step, count, pitch_shift, out, step_stride);
  if (channels == 3) unpack_to<3>(first_step, count, pitch_shift, out, step_stride);
}

template void Roll::unpack(int64_t, int64_t, int64_t, int64_t, float*, int64_t) const;
template void Roll::unpack(int64_t, int64_t, int64_t, int64_t, double*, int64_t) const;

namespace {

// From tick 0 to the end of a track.
void write_notes(const Roll& roll, bool with_meters, int64_t ticks_per_step, MidiWriter& writer) {
  const int64_t notes = roll.notes();
  auto meter = with_meters ? roll.meters().begin() : roll.meters().end();
  if (with_meters && (meter == roll.meters().end() || meter->step > 0)) writer.time_signature(0, {});
  std::vector<Cell> before(static_cast<size_t>(notes)), now(before);
  for (int64_t step = 0; step <= roll.steps(); ++step) {  // one silent step more ends what still sounds
    roll.row(step, now);
    const int64_t tick = step * ticks_per_step;
    for (; meter != roll.meters().end() && meter->step == step; ++meter) writer.time_signature(tick, meter->meter);
    for (int64_t n = 0; n < notes; ++n)
      if (before[n] != 0 && (now[n] == 0 || (now[n] & replay_bit))) writer.note_off(tick, roll.lowest_note() + n);
    for (int64_t n = 0; n < notes; ++n)
      if (now[n] != 0 && (before[n] == 0 || (now[n] & replay_bit)))
        writer.note_on(tick, roll.lowest_note() + n, now[n] & velocity_bits);
    before.swap(now);
  }
}

MidiWriter writer_of(const EncodeSettings& settings, int tracks) {
  const int64_t q = settings.steps_per_quarter;
  require(q >= 1 && ticks_per_quarter_written % q == 0, "encode: ", q,
          " steps per quarter note, expected a divisor of ", ticks_per_quarter_written);
  MidiWriter writer(ticks_per_quarter_written, settings.beats_per_minute, tracks);
  if (!settings.text.empty()) writer.text(settings.text);
  return writer;
}

}  // namespace

std::vector<uint8_t> encode(const Roll& roll, const EncodeSettings& settings) {
  MidiWriter writer = writer_of(settings, 1);
  const int64_t ticks_per_step = ticks_per_quarter_written / settings.steps_per_quarter;
  write_notes(roll, true, ticks_per_step, writer);
  return writer.finish(roll.steps() * ticks_per_step);
}

std::vector<uint8_t> encode(std::span<const RollTrack> tracks, const EncodeSettings& settings) {
  require(!tracks.empty(), "encode: no tracks");
  if (tracks.size() == 1) return encode(tracks[0].roll, settings);
  MidiWriter writer = writer_of(settings, static_cast<int>(tracks.size()));
  const int64_t ticks_per_step = ticks_per_quarter_written / settings.steps_per_quarter;
  const int64_t end = tracks[0].roll.steps() * ticks_per_step;
  for (size_t i = 0; i < tracks.size(); ++i) {
    if (i > 0) writer.next_track(end);
    writer.track_name(tracks[i].name);
    write_notes(tracks[i].roll, i == 0, ticks_per_step, writer);
  }
  return writer.finish(end);
}

}  // namespace poph
