#pragma once
#include <vector>

namespace poph {

// `timeout` and job schedulers signal a process and its group at once: signals within moments are one request. For a process that
// gets them from another one too, and with a delay, the moments are longer.
constexpr double own_request_seconds = 0.05, supervised_request_seconds = 2;

// From now on INT, TERM, USR1 and HUP ask for an orderly end; a second one of them ends the program at once. HUP is left alone where
// it is ignored (nohup).
void watch_signals(double one_request_seconds = own_request_seconds);
bool stop_requested();
std::vector<int> stop_signals();  // these, but for HUP where it is ignored

constexpr int exit_resumable = 75;  // EX_TEMPFAIL: saved, and the same command goes on from there

}  // namespace poph
