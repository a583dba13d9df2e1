#include "tensor/graph.h"

#include <cstring>

// Queues, events and graphs are CUDA's own. Without CUDA they do nothing, because a call's work is done when it
// returns.
namespace poph {

#if POPH_CUDA
namespace {

cudaStream_t stream_of(Queue queue) {
  if (queue == Queue::work) return stream();
  static const cudaStream_t upload = [] {
    cudaStream_t made;
    check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    return made;
  }();
  return upload;
}

}  // namespace

void queue_copy(Queue queue, Device device, void* to, const void* from, size_t bytes) {
  if (device == Device::cpu)
    std::memcpy(to, from, bytes);
  else
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_of(queue)));
}

Event::Event(Device device) {
  if (device == Device::cuda) check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
}
Event::~Event() {
  if (event_) cudaEventDestroy(event_);
}
void Event::record(Queue queue) {
  if (event_) check(cudaEventRecord(event_, stream_of(queue)));
}
void Event::wait() const {
  if (event_) check(cudaEventSynchronize(event_));
}
void Event::hold(Queue queue) const {
  if (event_) check(cudaStreamWaitEvent(stream_of(queue), event_, 0));
}

Graph::Graph(const std::function<void()>& work) {
  cudaGraph_t recorded = nullptr;
  // Other threads' calls are let through. This thread's calls that a graph cannot hold, such as cudaMalloc, are errors.
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  try {
    work();
    check(cudaStreamEndCapture(stream(), &recorded));
    check(cudaGraphInstantiateWithFlags(&graph_, recorded, 0));
    cudaGraphDestroy(recorded);
  } catch (...) {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(stream(), &capturing);
    if (capturing != cudaStreamCaptureStatusNone) cudaStreamEndCapture(stream(), &recorded);
    if (recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();  // cleared, or the next launch would report it
    throw;
  }
}
Graph::~Graph() {
  if (graph_) cudaGraphExecDestroy(graph_);
}
void Graph::replay() const { check(cudaGraphLaunch(graph_, stream())); }

#else

void queue_copy(Queue, Device, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

Event::Event(Device) {}
Event::~Event() = default;
void Event::record(Queue) {}
void Event::wait() const {}
void Event::hold(Queue) const {}

Graph::Graph(const std::function<void()>&) { fail("graph: this build has no CUDA"); }
Graph::~Graph() = default;
void Graph::replay() const {}
#endif

}  // namespace poph
