#pragma once
#include <string>
#include <vector>

#include "experiments/config/config.h"

// Overrides that a program would take and not use. Each is refused in one line, because who writes one expects
// something of it.
namespace poph {

// Of poph inspect there are two: of a checkpoint, which takes no override, and of music.
enum class Use { checkpoint, inspect, data, evaluate, baseline, generate };

// Error: "command line: seed=5: changes nothing here; --seed is ..". Misspelt keys pass: who reads them says so.
void refuse_idle(const std::vector<std::string>& overrides, Use use);

// The same for the run, or the runs of a sweep, that are to begin: a key of the command line that the other settings of
// all of them leave without a use. In a file it may stand, where a file that extends it sets the others.
void refuse_idle(const std::vector<const Config*>& runs);

}  // namespace poph
