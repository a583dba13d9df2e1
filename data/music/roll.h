#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/music/bars.h"
#include "data/music/midi.h"

// Piano rolls (MODEL.md "Piano roll"): a piece as steps x notes of play, replay and volume, packed; MIDI to rolls and
// back.
namespace poph {

inline constexpr int64_t max_steps = int64_t{1} << 20;  // of a piece: 36 hours of sixteenths at 120 beats a minute
// The steps of all notes of a file, added up.
inline constexpr int64_t max_sounding_steps = int64_t{1} << 28;
// A file with few events is allowed less, so that a few bytes cannot ask for much memory.
inline constexpr int64_t free_steps = int64_t{1} << 16, steps_per_event = 64;
inline constexpr int64_t free_sounding_steps = int64_t{1} << 20, sounding_steps_per_event = 1024;
inline constexpr int64_t ticks_per_quarter_written = 480;

inline constexpr int64_t max_bars = max_steps / 16;  // that may be asked for

// How a note's ticks become steps: from and up to the nearest ones, at least one; or all that it touches.
enum class Quantize { nearest, floor };

struct RollSettings {
  int64_t lowest_note = 36, notes = 48, steps_per_quarter = 4;
  bool percussion = false, sustain = false;
  Quantize quantize = Quantize::nearest;
  bool file_meter = true;  // the file's time signatures count; otherwise all is 4/4

  bool operator==(const RollSettings&) const = default;
};
// Error unless the notes lie in 0..127 and there are 1 to 480 steps per quarter.
void check(const RollSettings& settings);

// One cell: bit 7 is replay, the rest the velocity; 0 is silence. Volume is velocity / 127, play is velocity > 0.
using Cell = uint8_t;
inline constexpr Cell replay_bit = 0x80, velocity_bits = 0x7F;

// A piece, packed: one bit per cell (play), one byte per sounding cell and four bytes per step, about 13 bytes a step
// for
// 48 notes. Steps are only ever appended. Any step is found at once.
class Roll {
 public:
  Roll() = default;
  Roll(int64_t lowest_note, int64_t notes);

  // From packed_play() and packed_cells(). Error unless there is a cell with a velocity for every bit that is set.
  static Roll from_packed(int64_t lowest_note, int64_t notes, std::span<const uint8_t> play,
                          std::span<const Cell> cells);

  void append(std::span<const Cell> cells);  // steps of a cell per note each; replay without velocity is an error
  void shrink();                             // gives back the memory that append took in advance
  void set_meters(std::vector<MeterChange> changes) { meters_ = std::move(changes); }

  std::span<const MeterChange> meters() const { return meters_; }  // by step; 4/4 until the first one

  int64_t lowest_note() const { return lowest_note_; }
  int64_t notes() const { return notes_; }
  int64_t steps() const { return static_cast<int64_t>(first_.size()); }
  int64_t bytes() const;  // of memory held
  Cell cell(int64_t step, int64_t note) const;
  void row(int64_t step, std::span<Cell> cells) const;    // a whole step; silence outside [0, steps)
  std::array<uint64_t, 2> play_bits(int64_t step) const;  // note n is bit n % 64 of word n / 64

  std::span<const uint8_t> packed_play() const {
    return std::span(play_).first(static_cast<size_t>(steps() * row_bytes()));
  }
  std::span<const Cell> packed_cells() const { return cells_; }
  int64_t sounding_cells() const { return static_cast<int64_t>(cells_.size()); }
  int64_t replays() const;
  double volume_sum() const;

  // Writes steps [first_step, first_step + count) to out[step * step_stride + note * channels + channel]: channels 3
  // are play, replay, volume (velocity / 127 rounded once), 1 is play. Steps outside the piece are zeros; notes that
  // pitch_shift semitones move out of range are dropped. T is float or double.
  template <class T>
  void unpack(int64_t first_step, int64_t count, int64_t channels, int64_t pitch_shift, T* out,
              int64_t step_stride) const;

  bool operator==(const Roll&) const = default;

 private:
  int64_t row_bytes() const { return (notes_ + 7) / 8; }
  template <class F>
  void each_sounding(int64_t step, F visit) const;  // visit(note, cell), notes ascending
  template <int channels, class T>
  void unpack_to(int64_t first_step, int64_t count, int64_t pitch_shift, T* out, int64_t step_stride) const;

  int64_t lowest_note_ = 0, notes_ = 0;
  // [steps][row_bytes], note n at bit n % 8; and zeros behind, so that any row reads as words
  std::vector<uint8_t> play_;
  std::vector<uint32_t> first_;  // [steps]: where a step's cells begin
  std::vector<Cell> cells_;      // the sounding cells, step by step, notes ascending
  std::vector<MeterChange> meters_;
};

// One note of a roll: it sounds in steps [onset, end), until silence or until its pitch is struck again.
struct NoteSpan {
  int64_t onset = 0, end = 0, pitch = 0;  // pitch: MIDI's
};
std::vector<NoteSpan> note_spans(const Roll& roll);  // by onset, then by pitch

struct DecodeReport {
  int64_t dropped_notes = 0;     // note-ons out of range
  int64_t percussion_notes = 0;  // note-ons of channel 10 that were skipped
  int64_t tracks = 0;            // track chunks of the file
  double seconds = 0;
  bool has_meter = false;  // the file has a time signature
};

// Damaged where the piece is longer, or its notes sound longer, than the limits above. With the reading of the file at
// most 16 MB of memory and 5,000 bytes for each byte of the file, and never above 450 MB and 40 bytes for each; 0.2 s
// of a core and 50 us for each, and never above 10 s and 1 us for each.
Roll decode(const MidiFile& file, const RollSettings& settings, DecodeReport* report = nullptr);

struct EncodeSettings {
  double beats_per_minute = 120;
  int64_t steps_per_quarter = 4;  // a divisor of 480
  std::string_view text = {};     // a line about the file, in a text event
};

// A format-0 file at 480 ticks per quarter, with its time signatures.
std::vector<uint8_t> encode(const Roll& roll, const EncodeSettings& settings = {});

// A format-1 file with a track for each of some rolls of one length. The time signatures are those of the first. A
// single roll is a file of format 0, without its name.
struct RollTrack {
  std::string_view name;
  Roll roll;
};
std::vector<uint8_t> encode(std::span<const RollTrack> tracks, const EncodeSettings& settings = {});

}  // namespace poph
