#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/measures/tonality.h"
#include "data/reading/corpus.h"
#include "experiments/compose/composer.h"
#include "experiments/compose/given.h"
#include "experiments/config/config.h"
#include "experiments/workspace/console.h"
#include "experiments/workspace/run_record.h"

// Composing as an experiment's [generate] says: the settings, the work with its line of progress, the files.
namespace poph {

// What is given must outlive the settings.
ComposeSettings compose_settings(const Config& config, uint64_t seed, const Given& given = {});

// compose() with a line of progress. A requested stop ends it early, with shorter pieces.
struct Composition {
  std::vector<Roll> rolls;
  std::vector<ConditionReport> conditions;  // of each, where there are any
  double seconds = 0, steps_per_second = 0;
  bool cut_off = false;
};
Composition compose_with_progress(const Biaxial& model, const ComposeSettings& settings, Progress& progress);

// A piece as a MIDI file, with the mark of what PopH composed (data/reading/composed.h). Notes that conditions gave
// have a track of their own; first_composed is the first step behind a prime that was kept.
std::vector<uint8_t> piece_midi(const Roll& roll, const Config& config, const Given& given = {},
                                int64_t first_composed = 0);

using Rolls = std::vector<std::shared_ptr<const Roll>>;
Rolls rolls_of(const std::vector<Piece>& pieces);
Rolls shared_rolls(std::vector<Roll> rolls);

// Writes piece_1.mid, piece_2.mid, .. with a picture (.svg) beside each and returns their paths. Makes the folder. With
// `keep`, no file that is there is replaced, and the numbers go on behind those that are taken, by whatever process.
enum class Existing { replace, keep };
std::vector<std::string> write_pieces(const std::vector<Roll>& rolls, const std::string& folder, const Config& config,
                                      Existing existing = Existing::replace, const Given& given = {},
                                      int64_t first_composed = 0);

TonalityRecord tonality_record(const Tonality& music, const Tonality* corpus = nullptr);
// "93.1 % of 812 notes in the best-fitting key, pitch-class distance 0.062 from the corpus"
std::string tonality_text(const TonalityRecord& music);

}  // namespace poph
