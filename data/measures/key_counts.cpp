#include "data/measures/key_counts.h"

#include <charconv>
#include <cmath>

#include "data/files/text.h"
#include "tensor/error.h"

namespace poph {
namespace {

bool on_the_piano(const Roll& roll) {
  return roll.lowest_note() >= lowest_piano_key && roll.lowest_note() + roll.notes() <= lowest_piano_key + piano_keys;
}

bool counted(const Piece& piece) {
  return on_the_piano(*piece.roll) && (piece.roll->notes() == piano_keys || piece.outside);
}

}  // namespace

std::optional<KeyCounts> count_keys(const std::vector<Piece>& pieces) {
  KeyCounts counts;
  for (const Piece& piece : pieces) {
    if (!counted(piece)) return std::nullopt;
    const Roll& roll = *piece.roll;
    counts.frames += roll.steps();
    for (int64_t step = 0; step < roll.steps(); ++step) {
      const auto bits = roll.play_bits(step);
      for (int64_t note = 0; note < roll.notes(); ++note)
        counts.sounding[roll.lowest_note() + note - lowest_piano_key] += bits[note / 64] >> note % 64 & 1;
    }
    if (!piece.outside) continue;
    for (const OutsideKey& key : *piece.outside) counts.sounding[key.pitch - lowest_piano_key] += key.steps;
  }
  return counts;
}

std::optional<std::vector<PieceScore>> outside_scores(const std::vector<Piece>& pieces, const KeyCounts& counts) {
  std::vector<PieceScore> scores;
  for (const Piece& piece : pieces) {
    if (!counted(piece)) return std::nullopt;
    const Roll& roll = *piece.roll;
    PieceScore score{roll.steps()};
    const auto add = [&](int64_t pitch, int64_t sounding, bool first) {
      const double p = counts.probability(pitch), on = std::log(p), off = std::log1p(-p);
      score.all += static_cast<double>(sounding) * on + static_cast<double>(roll.steps() - sounding) * off;
      score.first += first ? on : off;
    };
    std::array<const OutsideKey*, piano_keys> found{};
    if (piece.outside)
      for (const OutsideKey& key : *piece.outside) found[key.pitch - lowest_piano_key] = &key;
    for (int64_t pitch = lowest_piano_key; pitch < lowest_piano_key + piano_keys; ++pitch) {
      if (pitch >= roll.lowest_note() && pitch < roll.lowest_note() + roll.notes()) continue;
      const OutsideKey* key = found[pitch - lowest_piano_key];
      add(pitch, key ? key->steps : 0, key && key->first);
    }
    scores.push_back(score);
  }
  return scores;
}

std::string key_counts_text(const KeyCounts& counts) {
  std::string text = joined(counts.frames);
  for (int64_t count : counts.sounding) text += joined(" ", count);
  return text;
}

KeyCounts parse_key_counts(const std::string& text, const std::string& origin) {
  KeyCounts counts;
  const char *at = text.data(), *const end = at + text.size();
  const auto next = [&](int64_t& number, int64_t most) {
    const auto [rest, error] = std::from_chars(at, end, number);
    at = rest;
    return error == std::errc() && number >= 0 && number <= most;
  };
  bool well = next(counts.frames, int64_t{1} << 62);
  for (int64_t& count : counts.sounding) well = well && at != end && *at++ == ' ' && next(count, counts.frames);
  require(well && at == end, origin, ": found the counts of keys \"", printable(text, 40),
          "\", expected the number of frames and 88 numbers up to it");
  return counts;
}

}  // namespace poph
