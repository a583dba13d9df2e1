#pragma once
#include <nlohmann/json_fwd.hpp>

#include "data/tonality.h"
#include "experiments/config.h"
#include "experiments/generator.h"

namespace poph {

ComposeSettings compose_settings(const Config& config, uint64_t seed);

// The MIDI file of generate.prime as a roll of this experiment's range; null when there is none.
std::shared_ptr<const Roll> read_prime(const Config& config);

std::vector<std::string> piece_paths(size_t count, const std::string& folder);

// Writes piece_1.mid, piece_2.mid, .. with a picture (.svg) beside each and returns their paths. The folder is made when it is not there.
std::vector<std::string> write_pieces(const std::vector<Roll>& rolls, const std::string& folder, const Config& config);

// "93 % of 812 notes in the best-fitting key, pitch-class distance 0.06 from the corpus"
std::string tonality_text(const Tonality& music, const Tonality* corpus = nullptr);
nlohmann::json tonality_json(const Tonality& music, const Tonality* corpus = nullptr);

}  // namespace poph
