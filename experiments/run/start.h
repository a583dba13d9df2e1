#pragma once
#include <optional>
#include <string>

#include "experiments/config/config.h"
#include "experiments/workspace/checkpoints.h"
#include "experiments/workspace/console.h"

// train.start_from: a model that begins with the weights of a trained one, to be taught other music. They are read
// once, before the first step; a run that goes on has its own.
namespace poph {

// Nothing where the key is not set. Error, with the key: there is no such checkpoint, or it cannot be read.
std::optional<SavedModel> read_start(const Config& config);

// Sets the weights and says where they are from, and a line for each setting of the two experiments that differs.
// Error, with the key: names and shapes do not fit, all of which it names, or a weight is not finite.
void start_from(const SavedModel& start, const Config& config, Biaxial& model, Progress& progress);

}  // namespace poph
