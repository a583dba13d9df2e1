#include "experiments/workspace/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "tensor/error.h"
#include "tensor/gemm.h"

namespace poph {
namespace {
constexpr double redraw_seconds = 0.1, plain_seconds = 10;  // between two live lines

const char* program_name = "";

[[noreturn]] void leave(const char* why) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", program_name, why);
  std::_Exit(1);
}
}  // namespace

Progress::Progress(Where where)
    : to_(where == Where::standard_error ? stderr : stdout),
      terminal_(isatty(fileno(to_))),
      quiet_(where == Where::nowhere || (where == Where::standard_error && !terminal_)) {}

void Progress::log_to(const std::string& path) { log_ = std::make_unique<AppendFile>(path); }

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", to_);
  drawn_ = false;
}

void Progress::log(const std::string& text) {
  try {
    if (log_) log_->append(text + "\n");
  } catch (const Error&) {  // the work matters more, and its own files will meet the same error
  }
}

void Progress::line(const std::string& text) {
  log(text);
  if (quiet_) return;
  clear();
  std::fputs((text + "\n").c_str(), to_);
  std::fflush(to_);
}

void Progress::live(const std::string& text, const std::string& stage) {
  if (watcher_ && stage != stage_) watcher_(stage);
  stage_ = stage;
  if (quiet_ || since_live_.seconds() < (terminal_ ? redraw_seconds : plain_seconds)) return;
  since_live_.restart();
  if (!terminal_) {
    std::fputs((text + "\n").c_str(), to_);
  } else {
    winsize size{};
    const size_t width = ioctl(fileno(to_), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    std::fputs(("\r" + text.substr(0, width) + "\033[K").c_str(), to_);
    drawn_ = true;
  }
  std::fflush(to_);
}

void print_text(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  require(written, "cannot write to standard output: ", std::strerror(errno));
}

int run_main(const char* program, int (*run)(int, char**), int argc, char** argv) {
  // errors to report or to survive, not reasons to die
  for (int signal : {SIGXFSZ, SIGPIPE}) std::signal(signal, SIG_IGN);
  program_name = program;
  // Where no exception may leave: in a parallel loop, in the JSON library's destructors, in the file system library.
  std::set_terminate([] {
    const auto failure = std::current_exception();
    try {
      if (failure) std::rethrow_exception(failure);
      leave("terminated where no exception may leave: out of memory?");
    } catch (const std::bad_alloc&) {
      leave("out of memory");
    } catch (const std::exception& error) {
      leave(error.what());
    }
  });
  try {
    require_work_memory();
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    leave("out of memory");
  } catch (const OutOfMemory& error) {
    leave(error.what());
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

double per_second(int64_t count, double seconds) { return static_cast<double>(count) / std::max(seconds, 1e-3); }

std::string human_time(double seconds) {
  const auto s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s / 60 % 60);
}

std::string human_bytes(double bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000 && unit < 4) {
    bytes /= 1000;
    ++unit;
  }
  return bytes < 10 && unit > 0 ? fmt::format("{:.1f} {}", bytes, units[unit])
                                : fmt::format("{:.0f} {}", bytes, units[unit]);
}

}  // namespace poph
