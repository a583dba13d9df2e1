#pragma once
#include <string>

#include "experiments/report/records.h"
#include "experiments/report/table.h"

// Of runs with styles: each style's held-out pieces as of every style (MODEL.md "Styles").
namespace poph {

// A row for each configuration and style, means over the seeds, with a column for each style that any of them has.
// Empty where no run scored styles.
Table style_table(const RunSet& set, const std::string& group);

}  // namespace poph
