#include "experiments/sweep/child.h"

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

#include "data/files/file.h"
#include "experiments/workspace/signals.h"
#include "tensor/error.h"

namespace poph {
namespace {

constexpr size_t max_error_text = 64 << 10;  // of the end of standard error

struct Pipe {
  int read_end, write_end;
};

Pipe make_pipe() {
  int ends[2];
  require(pipe2(ends, O_CLOEXEC) == 0, "cannot make a pipe: ", std::strerror(errno));
  return {ends[0], ends[1]};
}

// Signals that come between the fork and the work must find the child's own handling of them, not a copy of this
// process's.
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

void send_line(int descriptor, std::string message) {
  for (char& c : message)
    if (c == '\n') c = ' ';
  message += '\n';
  retried([&] { return write(descriptor, message.data(), message.size()); });  // a parent that died needs none
}

int code_of(const std::function<int(const Child::Send&)>& work, int messages) {
  try {
    return work([messages](const std::string& message) { send_line(messages, message); });
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "out of memory\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 1;
}

// Never returns, and no destructor of the parent's objects runs in the child.
[[noreturn]] void be_child(const std::function<int(const Child::Send&)>& work, pid_t parent, int messages, int errors) {
  for (int signal : stop_signals()) std::signal(signal, SIG_DFL);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) raise(SIGTERM);  // it died before that
  if (const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int code = code_of(work, messages);
  std::fflush(nullptr);
  _exit(code);
}

// Appends what is ready to be read to `text`. Closes a descriptor at its end.
void read_some(int& descriptor, std::string& text) {
  char bytes[4096];
  const ssize_t got = read(descriptor, bytes, sizeof bytes);
  if (got < 0 && errno == EINTR) return;
  if (got > 0) {
    text.append(bytes, static_cast<size_t>(got));
    return;
  }
  close(descriptor);
  descriptor = -1;
}

std::string last_line_of(const std::string& text) {
  const size_t end = text.find_last_not_of("\n");
  if (end == std::string::npos) return "";
  const size_t before = text.rfind('\n', end);
  const size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, end + 1 - begin);
}

}  // namespace

Child::Child(const std::function<int(const Send&)>& work) {
  std::fflush(nullptr);  // or the child would print it again
  const Pipe messages = make_pipe(), errors = make_pipe();
  const pid_t parent = getpid();
  const SignalsHeld held;
  pid_ = fork();
  const int reason = errno;
  if (pid_ == 0) be_child(work, parent, messages.write_end, errors.write_end);
  close(messages.write_end);
  close(errors.write_end);
  messages_ = messages.read_end;
  errors_ = errors.read_end;
  if (pid_ < 0) {
    close(messages_);
    close(errors_);
    fail("cannot start a process: ", std::strerror(reason));
  }
}

Child::~Child() {
  if (!ended_) {
    kill(pid_, SIGKILL);
    reap();
  }
  for (const int descriptor : {messages_, errors_})
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

void Child::read_messages() {
  read_some(messages_, unread_);
  const size_t end = unread_.rfind('\n');
  if (end == std::string::npos) return;
  message_ = end == 0 || unread_[end - 1] == '\n' ? "" : last_line_of(unread_.substr(0, end));
  unread_.erase(0, end + 1);
}

void Child::read_errors() {
  read_some(errors_, error_text_);
  if (error_text_.size() > max_error_text) error_text_.erase(0, error_text_.size() - max_error_text);
}

void Child::wait(const std::vector<Child*>& children, int milliseconds) {
  std::vector<pollfd> places;
  for (const Child* child : children)  // poll passes over -1
    for (const int descriptor : {child->messages_, child->errors_}) places.push_back({descriptor, POLLIN, 0});
  if (poll(places.data(), places.size(), milliseconds) <= 0) return;
  for (size_t c = 0; c < children.size(); ++c) {
    Child& child = *children[c];
    if (child.ended_) continue;
    if (places[2 * c].revents) child.read_messages();
    if (places[2 * c + 1].revents) child.read_errors();
    if (child.messages_ < 0 && child.errors_ < 0) child.reap();
  }
}

std::string Child::error() const {
  std::string line = last_line_of(error_text_);
  if (code_ >= 0) return line.empty() ? joined("ended with the exit code ", code_) : line;
  const std::string ended =
      joined("ended by signal ", -code_, " (", strsignal(-code_), ")", code_ == -SIGKILL ? ": out of memory?" : "");
  return line.empty() ? ended : ended + "; " + line;
}

}  // namespace poph
