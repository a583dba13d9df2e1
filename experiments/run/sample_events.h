#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/music/roll.h"
#include "experiments/workspace/console.h"

// The samples of a finished run for TensorBoard.
namespace poph {

// Writes an event file of its own (`events.out.tfevents.*.samples`) and removes an earlier one: the experiment as text,
// and of the first four samples the piano roll as a picture and, where FluidSynth and a sound font are found, the first
// half minute as sound (mono; 1.3 MB each). All at step `steps_trained`. A line says what is missing for sound.
void write_sample_events(const std::string& folder, const std::string& experiment,
                         const std::vector<std::shared_ptr<const Roll>>& samples, int64_t steps_per_quarter,
                         int64_t steps_trained, Progress& progress);

}  // namespace poph
