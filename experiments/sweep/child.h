#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

// A piece of work in a process of its own.
//
// The process is forked, so its parent must not have run kernels or touched a GPU: threads and contexts do not survive
// a fork. When the parent dies, however it dies, the child is asked to stop (TERM). The child has a process group of
// its own: a terminal's Ctrl-C reaches the parent alone, which passes it on.
namespace poph {

class Child {
 public:
  // Sends the parent a message of one line, which replaces the one before.
  using Send = std::function<void(const std::string&)>;

  // `work` returns the exit code. An exception becomes a line on standard error and the code 1. What the work prints
  // on standard output is dropped.
  explicit Child(const std::function<int(const Send&)>& work);
  ~Child();  // kills it where it has not ended
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void ask_to_stop();
  bool ended() const { return ended_; }
  int exit_code() const { return code_; }                  // once it has ended; -9 where signal 9 ended it
  const std::string& message() const { return message_; }  // the latest; empty before the first
  std::string error() const;  // of one that failed: the last line of its standard error, or what ended it

  // Waits until one of them sends a message, prints an error or ends, a signal comes or the time is over.
  static void wait(const std::vector<Child*>& children, int milliseconds);

 private:
  void read_messages();
  void read_errors();
  void reap();

  pid_t pid_ = -1;
  int messages_ = -1, errors_ = -1;  // the read ends of its pipes; -1 once closed
  int code_ = 0;
  bool ended_ = false;
  std::string unread_, message_, error_text_;
};

}  // namespace poph
