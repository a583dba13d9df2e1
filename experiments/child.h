#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace poph {

// A piece of work in a process of its own: what it says, how it ends, and nothing of it in this process's memory. It is forked,
// so this process must not have run kernels or touched a GPU before. When this process dies, however, the child is asked to stop
// (TERM). It has a process group of its own: a terminal's Ctrl-C reaches this process alone, which passes it on.
class Child {
 public:
  // `work` gives the exit code. An exception becomes one line on standard error and the code 1, RunFolder::InUse the code
  // `in_use`.
  explicit Child(const std::function<int()>& work);
  ~Child();  // kills it where it has not ended
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  static constexpr int in_use = 100;

  void ask_to_stop();
  bool ended() const { return ended_; }
  int exit_code() const { return code_; }                      // of one that ended; -9 where signal 9 ended it
  const std::string& output() const { return output_; }        // the end of it, at most 64 kB
  const std::string& last_line() const { return last_line_; }  // of its standard output
  std::string error() const;  // of one that failed: the last line of its standard error, or what ended it

  // Waits until one of them says something or ends, a signal comes or the time is over, and takes up what there is.
  static void wait(const std::vector<Child*>& children, int milliseconds);

 private:
  void take_up(int& descriptor, std::string& text);
  void reap();

  pid_t pid_ = -1;
  int out_ = -1, error_ = -1, code_ = 0;
  bool ended_ = false;
  std::string output_, errors_, last_line_;
};

}  // namespace poph
