#pragma once
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "tensor/file.h"

namespace poph {

// What a program says while it works: lines that stay, on the screen and in a log file, and one line that is redrawn. Where
// standard output is no terminal the redrawn line becomes a plain one every ten seconds. That nobody can read it any more (the
// `tee` behind a pipe went with the Ctrl-C) does not end the work.
class Progress {
 public:
  explicit Progress(bool quiet = false);
  ~Progress() { clear(); }

  void log_to(const std::string& path);       // appends, from now on; a line that the disk does not take is not missed
  void line(const std::string& text);         // stays
  void log(const std::string& text);          // in the log file alone
  void live(const std::string& text);         // is overwritten by the next
  bool quiet() const { return quiet_; }

 private:
  void clear();

  bool quiet_, terminal_, drawn_ = false;
  std::unique_ptr<AppendFile> log_;
  std::chrono::steady_clock::time_point last_live_ = std::chrono::steady_clock::now();
};

// All of the text on standard output, or an Error: the disk is full, the reader has gone.
void print_text(const std::string& text);

// What main does with run(argc, argv), and its exit code: an Error, and lack of memory wherever it is met, end in "PROGRAM: what was
// wrong" on standard error and 1. Where memory is out it does not return: the matrix library's threads may be waiting for some, and an
// orderly end would wait for them.
int run_main(const char* program, int (*run)(int, char**), int argc, char** argv);

double per_second(int64_t count, double seconds);  // a millisecond has passed at least: some clocks stand still for so long
std::string human_time(double seconds);       // "45 s", "3 min 20 s", "2 h 05 min"
std::string human_bytes(double bytes);        // "512 kB", "1.2 GB"

}  // namespace poph
