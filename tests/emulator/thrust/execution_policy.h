#pragma once
#include_next <thrust/execution_policy.h>

#include "tensor/device.h"
#include "tests/emulator/device.h"

// thrust::cuda::par.on(stream): waits for the stream and runs the algorithm here, with device memory open until it is
// done.
namespace thrust::cuda {

class OnStream : public detail::seq_t {
 public:
  explicit OnStream(cudaStream_t stream) { poph::check(cudaStreamSynchronize(stream)); }

 private:
  poph::emulator::OpenDevice open_;
};

inline constexpr struct {
  OnStream on(cudaStream_t stream) const { return OnStream(stream); }
} par;

}  // namespace thrust::cuda
