#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/roll.h"
#include "experiments/progress.h"

namespace poph {

// What the end of a run leaves for TensorBoard, in an event file of its own (`events.out.tfevents.*.samples`) that replaces an
// earlier one: the experiment as text, and of the first four samples the piano roll as a picture and, where FluidSynth and a
// sound font are found, the first half minute as sound (mono; 1.3 MB each). All at step `steps_trained`. What is missing for
// sound is said in a line.
void write_sample_events(const std::string& folder, const std::string& experiment,
                         const std::vector<std::shared_ptr<const Roll>>& samples, int64_t steps_trained, Progress& progress);

}  // namespace poph
