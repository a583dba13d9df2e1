#pragma once
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "experiments/config/settings.h"
#include "experiments/train/likelihood.h"
#include "experiments/workspace/run_record.h"

// Does a model of styles know whose piece it is? Each style's own pieces are scored as of every style, one after the
// other, and as of all in equal shares (MODEL.md "Styles").
namespace poph {

// A row for each style that has pieces, in their order. most_steps: of the pieces of a style that are read, which are
// taken in their order as long as they fit; the row says how many were left out. An empty result: interrupted.
std::optional<std::vector<StyleLikelihood>> style_likelihoods(const Biaxial& model, const std::vector<Piece>& pieces,
                                                              const std::vector<Style>& styles,
                                                              int64_t steps_per_quarter,
                                                              int64_t most_steps = std::numeric_limits<int64_t>::max(),
                                                              const Interrupted& interrupted = {});

// What a run scores of each style: all styles together cost no more than four times its likelihood.
int64_t most_steps_of_a_style(size_t styles);

// "pieces of bach (3): -4.512 nats a step as bach, -5.020 as satie, -4.700 in equal shares; 3 likeliest as their own"
std::vector<std::string> style_likelihoods_text(const std::vector<StyleLikelihood>& rows,
                                                const std::vector<Style>& styles);

}  // namespace poph
