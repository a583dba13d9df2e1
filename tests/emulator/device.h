#pragma once
#include <functional>
#include <mutex>
#include <source_location>
#include <stdexcept>
#include <string>

#include "tests/emulator/cuda_runtime_api.h"

// Shared by the emulator's own files.
namespace poph::emulator {

std::recursive_mutex& mutex();  // held through every call

// While one lives, device memory may be touched. Otherwise it has no access rights.
class OpenDevice {
 public:
  OpenDevice();
  ~OpenDevice();
  OpenDevice(const OpenDevice&) = delete;
  OpenDevice& operator=(const OpenDevice&) = delete;
};
bool is_device_memory(const void* address);

cudaError_t report(cudaError_t error, const std::string& about);  // remembers both and returns the first

// Runs the work when its turn on the stream comes; under capture, records it.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);
// An error where something captures a stream, which that spoils: `call` may not be made meanwhile.
cudaError_t forbid_in_capture(const char* call);
void finish_all_streams();

// Work that fails throws this: the rest of the stream's work is dropped, and the call that waited for it returns an
// error.
struct LaunchFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace poph::emulator
