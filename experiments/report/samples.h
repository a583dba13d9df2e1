#pragma once
#include <string>

#include "experiments/report/records.h"

// The report's section of samples.
namespace poph {

// The pieces of a set of runs, with pictures, sound and MIDI files as data in the page. So that a phone can load the
// page, only the first finished run of each configuration is shown, and there is a budget of bytes; a configuration's
// second piece comes after the first pieces of all. A line says what was left out and where it is. The sound is stored
// in the run folder (audio/) for the next report.
std::string samples_html(const RunSet& set);

}  // namespace poph
