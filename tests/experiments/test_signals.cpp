#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <functional>

#include "experiments/workspace/signals.h"

using namespace poph;

namespace {

// Runs `work` in a process of its own and returns its exit code.
int in_a_process(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) _exit(work());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(signals)

// A sweep watches signals, and then the run that it does in its own process.
BOOST_AUTO_TEST_CASE(a_request_outlives_a_second_watch) {
  BOOST_TEST(in_a_process([] {
               watch_signals();
               raise(SIGTERM);
               watch_signals();
               return stop_requested() ? 7 : 0;
             }) == 7);
}

BOOST_AUTO_TEST_CASE(a_new_process_has_no_request) {
  BOOST_TEST(in_a_process([] {
               watch_signals();
               raise(SIGTERM);
               return in_a_process([] {
                 for (int signal : stop_signals()) std::signal(signal, SIG_DFL);
                 watch_signals();
                 return stop_requested() ? 7 : 3;
               });
             }) == 3);
}

BOOST_AUTO_TEST_SUITE_END()
