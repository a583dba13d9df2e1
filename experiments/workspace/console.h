#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "data/files/file.h"
#include "data/files/stopwatch.h"

// A program and its user: what is printed during the work, how an error ends the program, numbers with their units.
namespace poph {

// Lines that stay, on the screen and in a log file, and one line that is redrawn. Where standard output is no terminal,
// the redrawn line is printed every ten seconds. A standard output that nobody reads any more is ignored: a Ctrl-C also
// ends the `tee` behind a pipe.
class Progress {
 public:
  enum class Where { nowhere, standard_output, standard_error };  // standard error only where it is a terminal
  explicit Progress(Where where);
  explicit Progress(bool quiet = false) : Progress(quiet ? Where::nowhere : Where::standard_output) {}
  ~Progress() { clear(); }

  void log_to(const std::string& path);  // appends from now on; a full disk is ignored
  void line(const std::string& text);    // stays
  void log(const std::string& text);     // in the log file alone
  // Is overwritten by the next. `stage` says the same in a word or two: "epoch 3/14".
  void live(const std::string& text, const std::string& stage = "");
  // Calls `watcher` with each new stage of the work.
  void watch(std::function<void(const std::string&)> watcher) { watcher_ = std::move(watcher); }
  bool quiet() const { return quiet_; }

 private:
  void clear();

  std::FILE* to_;
  bool terminal_, quiet_, drawn_ = false;
  std::unique_ptr<AppendFile> log_;
  std::function<void(const std::string&)> watcher_;
  std::string stage_;
  Stopwatch since_live_;
};

// Writes all of the text to standard output. Error: the disk is full, the reader has gone.
void print_text(const std::string& text);

// Calls run(argc, argv) for main and returns the exit code. An Error, and lack of memory wherever it is met, become the
// line "PROGRAM: message" on standard error and the code 1. Without memory it exits at once: the matrix library's
// threads may be waiting for some, and an orderly end would wait for them.
int run_main(const char* program, int (*run)(int, char**), int argc, char** argv);

// At least a millisecond is assumed: some clocks stand still for so long.
double per_second(int64_t count, double seconds);
std::string human_time(double seconds);  // "45 s", "3 min 20 s", "2 h 05 min"
std::string human_bytes(double bytes);   // "512 kB", "1.2 GB"

}  // namespace poph
