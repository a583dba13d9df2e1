#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/compose/composer.h"
#include "experiments/config/config.h"

// All that [generate] gives to what is composed: the prime that comes before it, and the conditions that it keeps to
// (MODEL.md "Conditions"), with the files read and checked.
namespace poph {

struct Given {
  std::shared_ptr<const Roll> prime;
  std::shared_ptr<const Constraint> constraint;  // none: there is no condition, or it leaves all of the piece free
  // Of the prime, and of what follows: those of the files that have time signatures.
  std::optional<std::vector<MeterChange>> prime_meters, meters;
  std::optional<int64_t> bars;    // as long as the files of the conditions, where that is wanted
  std::vector<std::string> said;  // what of the files counts for nothing, a line each

  // A piece as its MIDI file has it: what was composed, and where there are any the given notes in a track behind it.
  // first_composed: the steps of the prime that were kept.
  std::vector<RollTrack> tracks(const Roll& piece, int64_t first_composed) const;
};

// MIDI files that are not on the disk: their bytes, by the path that [generate] names them with.
using MusicInMemory = std::map<std::string, std::vector<uint8_t>>;

// as_long_as_given: the files of the conditions, not generate.bars, say how long the pieces are; where there are any.
// Error, which names the key and the bar: a file cannot be read or is silent, or the conditions contradict each other.
Given read_given(const Config& config, bool as_long_as_given = false, const MusicInMemory& in_memory = {});

struct Layout {
  std::vector<MeterChange> meters;  // of the prime and of what follows
  int64_t steps = 0;                // of what follows
};
Layout layout_of(const Config& config, const Given& given);

// The conditions in a few words: "melody tune.mid, scale D minor, at most 4 notes at once".
std::string conditions_text(const GenerateConfig& generate);

// "condition of piece 2: log probability -81.2, effective size at least 3.4 of 32 particles, resampled 12 times", and
// where they are too few a line with the number to try. option: how the number is set, "--particles ".
std::vector<std::string> condition_lines(const std::vector<ConditionReport>& reports, int64_t particles,
                                         const std::string& option);

}  // namespace poph
