#pragma once
#include <functional>

#include "tensor/device.h"

// Queues, events and graphs: the GPU works while the CPU prepares the next step. On the CPU device there are no queues:
// a call's work is done when it returns.
namespace poph {

enum class Queue { work, upload };  // every kernel is on the first; copies on the second overtake it

// Between memory of allocate_staging and the device, or within it. Both sides must stay until the copy is done.
void queue_copy(Queue queue, Device device, void* to, const void* from, size_t bytes);

// A place in a queue.
class Event {
 public:
  explicit Event(Device device);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Queue queue);      // behind all work that is queued there now
  void wait() const;             // until the device has reached it
  void hold(Queue queue) const;  // later work of that queue waits for it, and the CPU does not

 private:
#if POPH_CUDA
  cudaEvent_t event_ = nullptr;  // null on the CPU
#endif
};

// Queued GPU work, recorded once: replaying it costs the CPU one call, and the GPU no gaps between kernels.
class Graph {
 public:
  // Calls `work`, which may only queue kernels and copies, without running them. Error where CUDA refuses it in a
  // graph, and whatever `work` throws. Allocations of `work` come from an arena that outlives the graph.
  explicit Graph(const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void replay() const;  // queues it

 private:
#if POPH_CUDA
  cudaGraphExec_t graph_ = nullptr;
#endif
};

}  // namespace poph
