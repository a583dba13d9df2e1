#pragma once
#include <string>

#include "experiments/run_records.h"

namespace poph {

// The pieces of a set of runs for its page, self-contained: pictures, sound and MIDI as data. A page stays below what a phone
// loads in a moment: the first finished run of each configuration is heard, and one configuration's second piece comes after
// the first ones of all. What was left out is said, and where it lies. Sound is rendered beside a run's samples (audio/) and
// kept.
std::string samples_html(const RunSet& set);

}  // namespace poph
