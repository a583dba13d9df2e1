#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "experiments/config.h"
#include "experiments/evaluator.h"

// What run.json says of a finished run's music and likelihood. Numbers that cannot be counted are null.
namespace poph {

// As `poph evaluate --json` prints it, too.
nlohmann::ordered_json likelihood_json(const LogLikelihood& likelihood, const DataConfig& data);

// {"valid": .., "test": ..}: the log-likelihood of each split that has pieces; empty where the model has none. To bound the time
// pieces are read in their order as long as they fit into `most_steps` steps; "pieces" and "pieces_left_out" tell. (A step is
// read once; a validation reads each as often as windows overlap there, 8 times with the default stride.) Where attention over
// all earlier steps makes a piece's cost grow as its square, n steps of it count as n * n / 256. A split of which nothing fits is
// absent. Null: interrupted.
constexpr int64_t most_likelihood_steps = 1 << 16;
nlohmann::json likelihoods(const Biaxial& model, const Corpus& corpus, const DataConfig& data,
                           int64_t most_steps = most_likelihood_steps, const Interrupted& interrupted = {});

// "measures" of run.json, all by the definitions of data/measures.h, overlap.h and copies.h:
//   samples, train, valid   means over the pieces of each, "keys" by profile, and "pieces": how many (at most 1,000 of a split,
//   evenly
//                           chosen, of "pieces_in_all")
//   pieces                  the same of each sample, with its "file" and "copied": {longest, of, share}
//   overlap                 of each feature with the validation pieces, cut into excerpts of the samples' length (at most 200 of
//   either)
//                           and the counts: "samples", "valid", "excerpt_steps". Absent without validation pieces
//   copied                  over all samples: longest, piece, share; "transposed_by_up_to"; and "valid": {longest, share}: what
//   the
//                           excerpts of validation pieces share with the training pieces by themselves, absent where they are the
//                           same
nlohmann::json measure_samples(const std::vector<std::shared_ptr<const Roll>>& samples, const Corpus& corpus,
                               const Config& config);

// A few lines for the reader of a run.
std::vector<std::string> measures_text(const nlohmann::json& measures);
std::vector<std::string> likelihoods_text(const nlohmann::json& likelihoods);

}  // namespace poph
