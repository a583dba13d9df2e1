#pragma once
#include <string>
#include <vector>

#include "experiments/workspace/console.h"

// The report of runs, as a web page with its tables as CSV, or as text.
namespace poph {

// Writes FOLDER/report.html, a page that needs no other file, report.csv (a line a configuration) and report_runs.csv
// (a line a run) for a run, a sweep, or a folder of run folders, in whatever state they are. Error: there is no run, or
// the report cannot be written. Returns the line of what is left out, if there is one.
std::string write_report(const std::string& folder);
// The same at the end of a run or a sweep. Where it cannot be written a line says so: the run is complete without it.
void try_report(const std::string& folder, Progress& progress);

struct CompareOptions {
  std::vector<std::string> folders;  // of runs, sweeps, or folders of runs; the first configuration is the baseline
  std::string csv;                   // a file to write the comparison to as well
};

// Prints the settings that differ, the table of configurations, and which of them is better.
void compare(const CompareOptions& options);

}  // namespace poph
