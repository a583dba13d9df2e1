#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <vector>

#include "tests/emulator/cuda_runtime.h"
#include "tests/emulator/device.h"

// Runs kernels: block after block, the threads of a block on fibers.
extern char __start_emulated_shared[], __stop_emulated_shared[];  // made by shared.ld

namespace poph::emulator {
namespace {

constexpr size_t stack_bytes = 128 << 10;
constexpr unsigned most_threads = 1024;
constexpr int most_shared_bytes = 227 << 10, shared_bytes_without_asking = 48 << 10;

struct Abandoned {};  // unwinds the threads of a block that failed

// A fiber that runs threads one after the other, and another one goes on with the rest when its thread waits. So a
// block without barriers takes a single switch.
struct Worker {
  boost::context::fiber fiber;
  const void* stack = nullptr;  // its lowest address
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's, while the fiber is switched out
};

struct Wait {
  const char* call = nullptr;
  unsigned mask = 0;  // of a warp's call; 0: the block's barrier
  uint64_t value = 0;
  Where where;
  Lanes lanes;
};

struct Thread {
  enum { fresh, ready, waiting, ended } state = fresh;
  Worker* worker = nullptr;
  Wait wait;
};

std::string text(const Wait& wait) {
  const std::string file = wait.where.file_name();
  std::ostringstream out;
  out << wait.call;
  if (wait.mask) out << " of mask 0x" << std::hex << wait.mask << std::dec;
  out << " (" << file.substr(file.rfind('/') + 1) << ":" << wait.where.line() << ")";
  return out.str();
}

class Block {
 public:
  void run(const Launch& launch, const std::vector<int>& order) {
    launch_ = &launch;
    order_ = order;
    threads_.assign(order.size(), {});
    next_ = 0;
    fault_.clear();
    do {
      while (fault_.empty() && next_ < order_.size()) resume(idle_worker());
      for (const int thread : order_)
        if (fault_.empty() && threads_[thread].state == Thread::ready) continue_thread(thread);
    } while (fault_.empty() && release());
    if (!fault_.empty()) abandon();
  }

  // -- called by the threads
  Wait& wait(Wait wait) {
    Thread& thread = threads_[current_];
    if (wait.mask && !(wait.mask >> lane() & 1))
      fail("thread ", current_, " is not in the mask of its own ", text(wait));
    thread.wait = wait;
    thread.state = Thread::waiting;
    const int self = current_;
    switch_to_scheduler(*thread.worker);
    enter(self);
    if (!fault_.empty()) throw Abandoned();
    return threads_[self].wait;
  }

  template <class... Words>
  [[noreturn]] void fail(const Words&... words) {
    note(words...);
    throw Abandoned();
  }
  int current() const { return current_; }

 private:
  template <class... Words>
  void note(const Words&... words) {
    if (!fault_.empty()) return;
    std::ostringstream out;
    (out << ... << words);
    fault_ = out.str();
  }

  void enter(int thread) {
    const dim3& size = launch_->block;
    const unsigned t = current_ = thread;
    threadIdx = {t % size.x, t / size.x % size.y, t / size.x / size.y};
  }

  // -- fibers, with what AddressSanitizer must know about each switch
  Worker& idle_worker() {
    if (idle_.empty()) {
      auto* worker = new Worker;  // never deleted
      boost::context::protected_fixedsize_stack stacks(stack_bytes);
      boost::context::stack_context stack = stacks.allocate();
      worker->stack = static_cast<char*>(stack.sp) - stack.size;
      worker->stack_bytes = stack.size;
      worker->fiber = {std::allocator_arg, boost::context::preallocated(stack.sp, stack.size, stack), stacks,
                       [this, worker](boost::context::fiber&& scheduler) {
                         entered_from(std::move(scheduler), nullptr);
                         for (;;) work(*worker);
                         return boost::context::fiber();
                       }};
      idle_.push_back(worker);
    }
    Worker& worker = *idle_.back();
    idle_.pop_back();
    return worker;
  }

  void work(Worker& worker) {
    while (fault_.empty() && next_ < order_.size()) {
      const int thread = order_[next_++];
      threads_[thread].worker = &worker;
      enter(thread);
      try {
        launch_->thread();
      } catch (const Abandoned&) {
      }
      threads_[thread].state = Thread::ended;
    }
    idle_.push_back(&worker);
    switch_to_scheduler(worker);
  }

  void resume(Worker& worker) {
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, worker.stack, worker.stack_bytes);
    worker.fiber = std::move(worker.fiber).resume();
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
  }
  void switch_to_scheduler(Worker& worker) {
    __sanitizer_start_switch_fiber(&worker.fake_stack, scheduler_stack_, scheduler_stack_bytes_);
    entered_from(std::move(scheduler_).resume(), worker.fake_stack);
  }
  void entered_from(boost::context::fiber&& scheduler, void* fake_stack) {
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
    scheduler_ = std::move(scheduler);
  }

  void continue_thread(int thread) { resume(*threads_[thread].worker); }

  void abandon() {
    for (size_t i = 0; i < threads_.size(); ++i)
      if (threads_[i].state == Thread::waiting || threads_[i].state == Thread::ready) continue_thread(i);
    std::ostringstream message;
    char kernel[512] = "a kernel";
    const void* within = static_cast<const char*>(launch_->kernel) + 1;  // the symboliser takes a return address
    __sanitizer_symbolize_pc(const_cast<void*>(within), "%f", kernel, sizeof kernel);
    message << kernel << "<<<" << gridDim.x << ", " << blockDim.x << ">>>, block " << blockIdx.x << ": " << fault_;
    throw LaunchFailure(message.str());
  }

  // -- what waits and may go on. Every thread is waiting or has ended here.
  bool release() {
    const auto is_waiting = [](const Thread& thread) { return thread.state == Thread::waiting; };
    const auto at_barrier = [&](const Thread& thread) { return is_waiting(thread) && !thread.wait.mask; };
    if (std::all_of(threads_.begin(), threads_.end(), at_barrier)) return release_block();
    bool any = false;
    for (size_t thread = 0; thread < threads_.size(); ++thread)
      if (is_waiting(threads_[thread]) && threads_[thread].wait.mask && missing_lane(thread) < 0)
        any = release_lanes(thread);
    const auto stuck = std::find_if(threads_.begin(), threads_.end(), is_waiting);
    if (!any && stuck != threads_.end()) describe(stuck - threads_.begin());
    return any;
  }

  bool release_block() {
    for (size_t i = 0; i < threads_.size(); ++i) {
      if (!same_place(threads_[i].wait, threads_[0].wait))
        note("threads 0 and ", i, " are at different barriers: ", text(threads_[0].wait), " and ",
             text(threads_[i].wait));
      threads_[i].state = Thread::ready;
    }
    return true;
  }

  static bool same_place(const Wait& a, const Wait& b) {
    return a.call == b.call && a.mask == b.mask && a.where.line() == b.where.line() &&
           !std::strcmp(a.where.file_name(), b.where.file_name());
  }

  // A thread of the mask that may still come to the call and has not: -1 if there is none. Those that ended take no
  // part.
  int missing_lane(size_t thread) const {
    const Wait& wait = threads_[thread].wait;
    const size_t first = thread / warpSize * warpSize;
    for (size_t i = first; i < std::min(first + warpSize, threads_.size()); ++i) {
      const bool asked = wait.mask >> (i - first) & 1,
                 came = threads_[i].state == Thread::waiting && same_place(threads_[i].wait, wait);
      if (asked && threads_[i].state != Thread::ended && !came) return static_cast<int>(i);
    }
    return -1;
  }

  bool release_lanes(size_t thread) {
    const Wait wait = threads_[thread].wait;
    const size_t first = thread / warpSize * warpSize;
    Lanes lanes;
    const auto each = [&](auto&& f) {
      for (size_t i = first; i < std::min(first + warpSize, threads_.size()); ++i)
        if ((wait.mask >> (i - first) & 1) && threads_[i].state != Thread::ended) f(threads_[i], i - first);
    };
    each([&](const Thread& lane, size_t i) {
      lanes.present |= 1u << i;
      lanes.value[i] = lane.wait.value;
    });
    each([&](Thread& lane, size_t) {
      lane.wait.lanes = lanes;
      lane.state = Thread::ready;
    });
    return true;
  }

  void describe(int thread) {
    const Wait& wait = threads_[thread].wait;
    int other = wait.mask ? missing_lane(thread) : 0;
    if (!wait.mask)
      while (threads_[other].state == Thread::waiting && !threads_[other].wait.mask) ++other;
    note("thread ", thread, " waits at ", text(wait), ", and thread ", other,
         threads_[other].state == Thread::ended ? " has ended" : " at " + text(threads_[other].wait));
  }

  const Launch* launch_ = nullptr;
  std::vector<int> order_;
  std::vector<Thread> threads_;
  size_t next_ = 0;  // the first of order_ that has not started
  int current_ = 0;
  std::string fault_;
  std::vector<Worker*> idle_;
  boost::context::fiber scheduler_;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
};

Block& the_block() {
  static auto* block = new Block;
  return *block;
}

// Not memset: the red zones between the variables are written, too. All of them together are a multiple of 32 bytes.
__attribute__((no_sanitize_address)) void fill_with_nan(char* begin, char* end) {
  for (char* at = begin; at < end; at += sizeof(uint64_t)) *reinterpret_cast<volatile uint64_t*>(at) = ~uint64_t{0};
}

std::vector<int> some_order(int64_t count, std::mt19937& random) {
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  const auto kind = random() % 3;
  if (kind == 1) std::reverse(order.begin(), order.end());
  if (kind == 2) std::shuffle(order.begin(), order.end(), random);
  return order;
}

char* dynamic_shared = nullptr;
uint32_t launches = 0;
std::map<const void*, int>& allowed_shared_bytes() {
  static auto* allowed = new std::map<const void*, int>;
  return *allowed;
}

void run_grid(const Launch& launch) {
  std::mt19937 random(++launches);
  gridDim = launch.grid;
  blockDim = launch.block;
  const auto order = some_order(int64_t{blockDim.x} * blockDim.y * blockDim.z, random);
  const std::unique_ptr<char[]> shared(new char[launch.shared_bytes]);
  dynamic_shared = shared.get();
  for (const unsigned block : some_order(int64_t{gridDim.x} * gridDim.y * gridDim.z, random)) {
    blockIdx = {block % gridDim.x, block / gridDim.x % gridDim.y, block / gridDim.x / gridDim.y};
    fill_with_nan(__start_emulated_shared, __stop_emulated_shared);
    std::memset(shared.get(), 0xff, launch.shared_bytes);
    the_block().run(launch, order);
  }
}

}  // namespace

void* dynamic_shared_memory() { return dynamic_shared; }

void wait_for_block(Where where) { the_block().wait({.call = "__syncthreads", .where = where, .lanes = {}}); }

Lanes wait_for_lanes(const char* call, unsigned mask, uint64_t value, Where where) {
  if (mask == 0) fault(call, where, "has an empty mask:", 0);
  return the_block().wait({call, mask, value, where, {}}).lanes;
}

void fault(const char* call, Where where, const char* what, unsigned number) {
  the_block().fail("thread ", the_block().current(), ": ", text({.call = call, .where = where, .lanes = {}}), " ", what,
                   " ", number);
}

cudaError_t allow_shared_bytes(const void* kernel, int bytes) {
  std::lock_guard lock(mutex());
  if (bytes > most_shared_bytes) return report(cudaErrorInvalidValue, "cudaFuncSetAttribute: too much shared memory");
  allowed_shared_bytes()[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t launch(const Launch& launch, cudaStream_t stream) {
  std::lock_guard lock(mutex());
  const auto size = [](const dim3& d) { return uint64_t{d.x} * d.y * d.z; };
  const auto allowed = allowed_shared_bytes().try_emplace(launch.kernel, shared_bytes_without_asking).first->second;
  if (size(launch.block) < 1 || size(launch.block) > most_threads || size(launch.grid) < 1 ||
      size(launch.grid) > INT32_MAX)
    return report(cudaErrorInvalidConfiguration, "launch");
  if (launch.shared_bytes > static_cast<size_t>(allowed))
    return report(cudaErrorInvalidValue, "launch: more shared memory than allowed");
  return enqueue(stream, [launch] { run_grid(launch); });
}

}  // namespace poph::emulator
