#pragma once
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

// Work in several threads, with their errors.
namespace poph {

// Runs work(0) in this thread and work(1) to work(count - 1) in others, or in fewer where the system has no more.
// Throws the first exception of any of them, or of the start of one for lack of memory, after stop() was called and all
// have returned.
template <class Work, class Stop>
void in_threads(size_t count, const Work& work, const Stop& stop) {
  std::mutex lock;
  std::exception_ptr failure;
  const auto failed = [&] {
    const std::lock_guard guard(lock);
    if (!failure) failure = std::current_exception();
    stop();
  };
  const auto guarded = [&](size_t thread) {
    try {
      work(thread);
    } catch (...) {
      failed();
    }
  };
  {
    std::vector<std::jthread> others;
    bool started = true;
    try {
      for (size_t thread = 1; thread < count; ++thread) others.emplace_back(guarded, thread);
    } catch (const std::system_error&) {  // the threads that did start do all the work
    } catch (...) {
      started = false;
      failed();
    }
    if (started) guarded(0);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace poph
