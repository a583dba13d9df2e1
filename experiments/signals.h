#pragma once

namespace poph {

// From now on INT, TERM and USR1 ask for an orderly end; a second one of them ends the program at once.
void watch_signals();
bool stop_requested();

constexpr int exit_resumable = 75;  // EX_TEMPFAIL: saved, and the same command goes on from there

}  // namespace poph
