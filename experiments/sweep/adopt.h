#pragma once
#include <string>

#include "experiments/sweep/sweep.h"

// Which folder of a sweep each run has.
namespace poph {

// Gives each run the id of the folder in `path` that holds it already, so that nothing is run twice: under another
// label, renamed, moved with or without its music, or begun by a version that named folders by absolute paths. A folder
// is a run's where their settings are the same, and their music lies in the same place or has the same fingerprint. The
// music is read only where places differ. A run whose id is the folder of another one gets another id.
void adopt_folders(Sweep& sweep, const std::string& path);

}  // namespace poph
