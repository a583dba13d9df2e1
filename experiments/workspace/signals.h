#pragma once
#include <vector>

// Signals that ask a program to stop in an orderly way.
namespace poph {

// `timeout` and job schedulers signal a process and its group at once: signals within this time are one request. A run
// of a sweep gets them from the sweep's process too, a moment later.
constexpr double own_request_seconds = 0.05, supervised_request_seconds = 2;

// From now on INT, TERM, USR1 and HUP request an orderly stop; a second request ends the program at once. HUP stays
// ignored where it is ignored (nohup).
void watch_signals(double one_request_seconds = own_request_seconds);
bool stop_requested();
std::vector<int> stop_signals();  // these, but for HUP where it is ignored

constexpr int exit_resumable = 75;  // EX_TEMPFAIL: saved; the same command resumes

}  // namespace poph
