#include "experiments/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "experiments/run_folder.h"
#include "experiments/signals.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr size_t most_text = 64 << 10;

struct Pipe {
  int read_end, write_end;
};

Pipe make_pipe() {
  int ends[2];
  require(pipe2(ends, O_CLOEXEC) == 0, "cannot make a pipe: ", std::strerror(errno));
  return {ends[0], ends[1]};
}

// Signals that come between the fork and the work must find the child's own handling of them, not a copy of this process's.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t held;
    sigemptyset(&held);
    for (int signal : stop_signals()) sigaddset(&held, signal);
    sigprocmask(SIG_BLOCK, &held, &before_);
  }
  ~SignalsHeld() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

int code_of(const std::function<int()>& work) {
  try {
    return work();
  } catch (const RunFolder::InUse&) {
    return Child::in_use;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "out of memory\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 1;
}

std::string last_line_of(const std::string& text) {
  const size_t end = text.find_last_not_of("\n");
  if (end == std::string::npos) return "";
  const size_t before = text.rfind('\n', end);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, end + 1 - begin);
}

}  // namespace

Child::Child(const std::function<int()>& work) {
  std::fflush(nullptr);  // or the child would print it again
  const Pipe out = make_pipe(), error = make_pipe();
  const pid_t parent = getpid();
  const SignalsHeld held;
  pid_ = fork();
  const int reason = errno;
  if (pid_ == 0) {
    for (int signal : stop_signals()) std::signal(signal, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) raise(SIGTERM);  // it died before that
    dup2(out.write_end, STDOUT_FILENO);
    dup2(error.write_end, STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int code = code_of(work);
    std::fflush(nullptr);
    _exit(code);  // what the parent made is not the child's to take down
  }
  close(out.write_end);
  close(error.write_end);
  out_ = out.read_end;
  error_ = error.read_end;
  if (pid_ < 0) {
    close(out_);
    close(error_);
    fail("cannot start a process: ", std::strerror(reason));
  }
}

Child::~Child() {
  if (!ended_) {
    kill(pid_, SIGKILL);
    reap();
  }
  for (const int descriptor : {out_, error_})
    if (descriptor >= 0) close(descriptor);
}

void Child::ask_to_stop() {
  if (!ended_) kill(pid_, SIGTERM);
}

void Child::reap() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  code_ = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  ended_ = true;
}

void Child::take_up(int& descriptor, std::string& text) {
  char bytes[4096];
  const ssize_t got = read(descriptor, bytes, sizeof bytes);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) {
    close(descriptor);
    descriptor = -1;
    return;
  }
  text.append(bytes, static_cast<size_t>(got));
  if (text.size() > most_text) text.erase(0, text.size() - most_text);
}

void Child::wait(const std::vector<Child*>& children, int milliseconds) {
  std::vector<pollfd> places;
  for (const Child* child : children)
    for (const int descriptor : {child->out_, child->error_}) places.push_back({descriptor, POLLIN, 0});  // poll passes over -1
  if (poll(places.data(), places.size(), milliseconds) <= 0) return;
  for (size_t c = 0; c < children.size(); ++c) {
    Child& child = *children[c];
    if (child.ended_) continue;
    if (places[2 * c].revents) child.take_up(child.out_, child.output_);
    if (places[2 * c + 1].revents) child.take_up(child.error_, child.errors_);
    if (const std::string line = last_line_of(child.output_.substr(0, child.output_.rfind('\n') + 1)); !line.empty())
      child.last_line_ = line;
    if (child.out_ < 0 && child.error_ < 0) child.reap();
  }
}

std::string Child::error() const {
  std::string line = last_line_of(errors_);
  if (code_ >= 0) return line.empty() ? joined("ended with the exit code ", code_) : line;
  const std::string ended =
      joined("ended by signal ", -code_, " (", strsignal(-code_), ")", code_ == -SIGKILL ? ": out of memory?" : "");
  return line.empty() ? ended : ended + "; " + line;
}

}  // namespace poph
