#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/emulator/device.h"

// Streams, events and graphs of the emulated device: all of them hold work as closures.
using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  std::shared_ptr<const Work> work;
};
struct CUstream_st {
  std::deque<std::function<void()>> queue;
  std::unique_ptr<CUgraph_st> capture;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id capturer;
  bool spoilt = false;  // the capture, by a call that it forbids
};
struct Progress {  // outlives its event
  int64_t recorded = 0, reached = 0;
};
struct CUevent_st {
  std::shared_ptr<Progress> progress = std::make_shared<Progress>();
  cudaStream_t stream = nullptr;  // where it was last recorded
  bool captured = false;
};

namespace poph::emulator {
namespace {

std::vector<CUstream_st*>& streams() {
  static auto* all = new std::vector<CUstream_st*>;
  return *all;
}

cudaError_t last_error = cudaSuccess;
int64_t host_waits = 0;
std::map<cudaError_t, std::string>& abouts() {
  static auto* all = new std::map<cudaError_t, std::string>;
  return *all;
}

void run_first(CUstream_st& stream) {
  if (stream.queue.empty()) throw LaunchFailure("an event was waited for whose stream failed before it");
  const auto work = std::move(stream.queue.front());
  stream.queue.pop_front();
  work();
}

// Runs the stream's work until `done`, or until it fails.
cudaError_t run_until(CUstream_st& stream, const std::function<bool()>& done) {
  ++host_waits;
  const OpenDevice open;
  try {
    while (!done()) run_first(stream);
  } catch (const LaunchFailure& failure) {
    stream.queue.clear();
    return report(cudaErrorLaunchFailure, failure.what());
  }
  return cudaSuccess;
}

cudaError_t finish(CUstream_st& stream) {
  return run_until(stream, [&] { return stream.queue.empty(); });
}

std::string name_of(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidMemcpyDirection:
      return "invalid copy direction for memcpy";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    case cudaErrorCapturedEvent:
      return "operation not permitted on an event last recorded in a capturing stream";
  }
  return "unrecognized error code";
}

}  // namespace

cudaError_t report(cudaError_t error, const std::string& about) {
  abouts()[error] = name_of(error) + " (" + about + ")";
  return last_error = error;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  std::lock_guard lock(mutex());
  if (!stream->capture)
    stream->queue.push_back(std::move(work));
  else if (stream->spoilt)
    return report(cudaErrorStreamCaptureInvalidated, "more work");
  else
    stream->capture->work.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t forbid_in_capture(const char* call) {
  for (CUstream_st* stream : streams()) {
    if (!stream->capture || stream->mode == cudaStreamCaptureModeRelaxed) continue;
    if (stream->mode == cudaStreamCaptureModeThreadLocal && stream->capturer != std::this_thread::get_id()) continue;
    stream->spoilt = true;
    return report(cudaErrorStreamCaptureUnsupported, call);
  }
  return cudaSuccess;
}

int64_t waits() { return host_waits; }

void finish_all_streams() {
  for (CUstream_st* stream : streams()) finish(*stream);
}

}  // namespace poph::emulator

using namespace poph::emulator;

const char* cudaGetErrorString(cudaError_t error) {
  std::lock_guard lock(mutex());
  return abouts().try_emplace(error, name_of(error)).first->second.c_str();
}
cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::strcpy(properties->name, "emulated CUDA device");
  return cudaSuccess;
}

// -- streams
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  std::lock_guard lock(mutex());
  streams().push_back(*stream = new CUstream_st);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::lock_guard lock(mutex());
  const cudaError_t error = finish(*stream);
  std::erase(streams(), stream);
  delete stream;
  return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  std::lock_guard lock(mutex());
  if (!stream->capture) return finish(*stream);
  stream->spoilt = true;
  return report(cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize");
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  std::lock_guard lock(mutex());
  if (stream->capture || event->captured)
    return report(cudaErrorNotSupported, "cudaStreamWaitEvent during capture, in the emulator");
  if (!event->stream) return cudaSuccess;
  return enqueue(stream, [progress = event->progress, of = event->stream, until = event->progress->recorded] {
    while (progress->reached < until) run_first(*of);
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind != cudaMemcpyDefault && (is_device_memory(to) != to_device || is_device_memory(from) != from_device))
    return report(cudaErrorInvalidMemcpyDirection, "cudaMemcpyAsync");
  return enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  return cudaMemset2DAsync(data, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset2DAsync(void* data, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  if (!is_device_memory(data) || (height > 1 && width > pitch)) return report(cudaErrorInvalidValue, "cudaMemsetAsync");
  return enqueue(stream, [=] {
    for (size_t row = 0; row < height; ++row) std::memset(static_cast<char*>(data) + row * pitch, value, width);
  });
}

// -- events
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = new CUevent_st, cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  std::lock_guard lock(mutex());
  event->captured = stream->capture != nullptr;
  event->stream = stream;
  if (event->captured) return cudaSuccess;
  return enqueue(stream,
                 [progress = event->progress, ticket = ++event->progress->recorded] { progress->reached = ticket; });
}

static cudaError_t refuse_event(cudaEvent_t event, const char* call) {
  if (event->captured) return report(cudaErrorCapturedEvent, call);
  return forbid_in_capture(call);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  std::lock_guard lock(mutex());
  if (const cudaError_t error = refuse_event(event, "cudaEventSynchronize")) return error;
  const Progress& progress = *event->progress;
  return progress.recorded == 0 ? cudaSuccess
                                : run_until(*event->stream, [&] { return progress.reached >= progress.recorded; });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  std::lock_guard lock(mutex());
  if (const cudaError_t error = refuse_event(event, "cudaEventQuery")) return error;
  const Progress& progress = *event->progress;
  if (progress.reached >= progress.recorded) return cudaSuccess;
  int steps = 0;
  const cudaError_t error = run_until(*event->stream, [&] { return steps++ == 1; });
  return error ? error : cudaErrorNotReady;
}

// -- graphs
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  std::lock_guard lock(mutex());
  if (stream->capture) return report(cudaErrorInvalidValue, "cudaStreamBeginCapture of a stream that is capturing");
  stream->capture = std::make_unique<CUgraph_st>();
  stream->mode = mode;
  stream->capturer = std::this_thread::get_id();
  stream->spoilt = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  std::lock_guard lock(mutex());
  *graph = nullptr;
  if (!stream->capture) return report(cudaErrorInvalidValue, "cudaStreamEndCapture without a capture");
  auto captured = std::move(stream->capture);
  if (stream->spoilt) return report(cudaErrorStreamCaptureInvalidated, "cudaStreamEndCapture");
  *graph = captured.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  std::lock_guard lock(mutex());
  *status = !stream->capture ? cudaStreamCaptureStatusNone
            : stream->spoilt ? cudaStreamCaptureStatusInvalidated
                             : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{std::make_shared<const Work>(graph->work)};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  return enqueue(stream, [work = executable->work] {
    for (const auto& item : *work) item();
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return delete executable, cudaSuccess; }
