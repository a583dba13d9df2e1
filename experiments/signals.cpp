#include "experiments/signals.h"

#include <csignal>
#include <ctime>
#include <initializer_list>

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
  requested = 0;
  one_request = one_request_seconds;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&action.sa_mask, signal);
  for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
}

bool stop_requested() { return requested; }

}  // namespace poph
