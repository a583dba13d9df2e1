#include "experiments/workspace/signals.h"

#include <csignal>
#include <ctime>

namespace poph {
namespace {
volatile std::sig_atomic_t requested = 0;
double requested_at = 0, one_request = own_request_seconds;

void on_signal(int signal) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double seconds = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  if (requested && seconds - requested_at > one_request) {
    std::signal(signal, SIG_DFL);
    raise(signal);  // takes effect when this handler returns
  }
  if (!requested) requested_at = seconds;
  requested = 1;
}
}  // namespace

void watch_signals(double one_request_seconds) {
  struct sigaction before {};
  sigaction(SIGTERM, nullptr, &before);
  if (before.sa_handler != on_signal) requested = 0;  // else signals are watched already, and one may have come
  one_request = one_request_seconds;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int signal : stop_signals()) sigaddset(&action.sa_mask, signal);
  for (int signal : stop_signals()) sigaction(signal, &action, nullptr);
}

std::vector<int> stop_signals() {
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  std::vector<int> signals{SIGINT, SIGTERM, SIGUSR1};
  if (hangup.sa_handler != SIG_IGN) signals.push_back(SIGHUP);
  return signals;
}

bool stop_requested() { return requested; }

}  // namespace poph
