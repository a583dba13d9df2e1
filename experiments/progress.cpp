#include "experiments/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tensor/error.h"

namespace poph {
namespace {
constexpr auto redraw_every = std::chrono::milliseconds(100), plain_every = std::chrono::milliseconds(10000);
}

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDOUT_FILENO)) {}

void Progress::log_to(const std::string& path) { log_ = std::make_unique<AppendFile>(path); }

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stdout);
  drawn_ = false;
}

void Progress::log(const std::string& text) {
  try {
    if (log_) log_->append(text + "\n");
  } catch (const Error&) {  // the work matters more, and what it writes itself will tell
  }
}

void Progress::line(const std::string& text) {
  log(text);
  if (quiet_) return;
  clear();
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void Progress::live(const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (quiet_ || now - last_live_ < (terminal_ ? redraw_every : plain_every)) return;
  last_live_ = now;
  if (!terminal_) {
    std::fputs((text + "\n").c_str(), stdout);
  } else {
    winsize size{};
    const size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    std::fputs(("\r" + text.substr(0, width) + "\033[K").c_str(), stdout);
    drawn_ = true;
  }
  std::fflush(stdout);
}

void print_text(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  require(written, "cannot write to standard output: ", std::strerror(errno));
}

int report_failure(const char* program, const std::exception& error) {
  const std::string what = dynamic_cast<const std::bad_alloc*>(&error) ? "out of memory" : error.what();
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", program, what.c_str());
  if (what.starts_with("out of memory")) std::_Exit(1);
  return 1;
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
  return bytes < 10 && unit > 0 ? fmt::format("{:.1f} {}", bytes, units[unit]) : fmt::format("{:.0f} {}", bytes, units[unit]);
}

}  // namespace poph
