#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/music/roll.h"
#include "tensor/note_features.h"

// Where a piece was before as it is now, and what came then (MODEL.md "Match features"). Found step by step from the
// past alone, so that training, scoring and composing share it.
namespace poph {

inline constexpr std::array<int64_t, 12> exact_lengths = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
inline constexpr std::array<int64_t, 5> transposed_lengths = {2, 4, 8, 16, 32};

// The notes that sound in a step, and those of them that are struck again: note n is bit n % 64 of word n / 64.
struct Frame {
  std::array<uint64_t, 2> play{}, replay{};

  void set(int64_t note, bool replayed) {
    play[note / 64] |= uint64_t{1} << note % 64;
    if (replayed) replay[note / 64] |= uint64_t{1} << note % 64;
  }
  bool operator==(const Frame&) const = default;
};
Frame frame_of(const Roll& roll, int64_t step);

// The `length` steps before this one stood before step `from`, too: frame `from` is what they predict, `shift`
// semitones higher. Length 0: there is no match.
struct Match {
  uint32_t from = 0;
  int16_t length = 0, shift = 0;

  bool operator==(const Match&) const = default;
};
struct Matches {  // of one step
  Match exact, transposed;

  bool operator==(const Matches&) const = default;
};

// Every window of each length has a name, the same as that of all windows that are alike; a name is made of those of
// its two parts, so no hash stands for contents and no match is a chance one. Takes 18 look-ups and about 250 bytes a
// step. A copy goes on by itself.
class MatchFinder {
 public:
  // Replays count where there are more channels than play. Error: there are more than 128 notes.
  MatchFinder(int64_t notes, int64_t channels);

  void append(Frame frame);
  int64_t steps() const { return static_cast<int64_t>(frames_.size()); }
  Matches next() const;  // of the step that comes, from those appended

 private:
  struct Table {
    int64_t length = 1;
    std::array<int64_t, 2> part = {-1, -1};  // tables of the earlier and the later part of a window
    std::vector<uint32_t> name = {0};        // of the window that ends at each step; 0: there is none
    std::vector<uint8_t> lowest = {};        // note of that window; of transposed windows alone
    std::vector<uint32_t> latest = {};       // by hash: where such a window ended last; 0: no window
    uint32_t names = 0;                      // different ones
    uint32_t before = 0;                     // where the newest window ended before; 0: nowhere

    template <class KeyAt>
    void add(const KeyAt& key_at);  // the next window; key_at(end): what makes windows alike
  };

  bool replays_;
  std::vector<Frame> frames_;
  std::vector<Table> exact_, transposed_;
};

// Of every step of a piece.
std::vector<Matches> find_matches(const Roll& roll, int64_t channels);

// Writes the features of one step, [notes, match_features(channels)]. `exact` and `transposed` are the steps that its
// matches are from, [notes, channels], not read where there is no match. pitch_shift moves the prediction. T: float or
// double.
template <class T>
void write_match_features(const Matches& matches, const T* exact, const T* transposed, int64_t notes, int64_t channels,
                          int64_t pitch_shift, T* out);

// The same of steps [first_step, first_step + count) of a piece, each at out[step * step_stride]. Steps outside of it
// are zeros.
template <class T>
void unpack_matches(const Roll& roll, std::span<const Matches> matches, int64_t first_step, int64_t count,
                    int64_t channels, int64_t pitch_shift, T* out, int64_t step_stride);

}  // namespace poph
