#pragma once
#include <string>
#include <vector>

#include "experiments/progress.h"

namespace poph {

// Writes FOLDER/report.html, a page that needs nothing else, report.csv (a line a configuration) and report_runs.csv (a line a
// run) for a run, a sweep, or a folder of run folders, in whatever state they are. Error: no run there, or it cannot be written.
void write_report(const std::string& folder);
// The same at the end of a run or a sweep, which is complete without it: where it cannot be written, a line says so.
void try_report(const std::string& folder, Progress& progress);

struct CompareOptions {
  std::vector<std::string> folders;  // of runs, sweeps, or folders of runs; the first configuration is the baseline
  std::string csv;                   // a file to write the comparison to as well
};

// Prints which settings differ and the table of configurations, and says which is better.
void compare(const CompareOptions& options);

}  // namespace poph
