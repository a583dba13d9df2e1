#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "experiments/report/records.h"

// The losses of every epoch: a chart for each part, which the page's script draws from curves_json, with a table of its
// numbers below.
namespace poph {

// {"series": [{"label", "shown"}], "parts": {"total": {"valid": [{"epoch": [..], "mean", "low", "high", "n"}, ..],
// "train": ..}}}: a line a configuration, over its seeds; of a single configuration one line for validation and one for
// training, both under "valid".
nlohmann::json curves_json(const RunSet& set);

std::string curves_html(const RunSet& set);

}  // namespace poph
