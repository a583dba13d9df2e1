#pragma once
#include <cstdint>

#include "tensor/device.h"

// The one place where kernels start. nvcc compiles them, and for the tests the C++ compiler does, against the emulated
// CUDA of tests/emulator. A source keeps its kernels, and the code that starts them, within #ifdef POPH_KERNELS.
#if defined(__CUDACC__) || POPH_EMULATED
#define POPH_KERNELS
#include <cuda_runtime.h>

namespace poph {

// The launch's shared_bytes, 16-byte aligned. One array for the whole block: every call returns its start.
template <class T>
__device__ T* shared_memory() {
#if POPH_EMULATED
  return static_cast<T*>(emulator::dynamic_shared_memory());
#else
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
#endif
}

// Starts blocks x threads of the kernel on stream(). No blocks: nothing to do.
template <class... P, class... A>
void launch_kernel(void (*kernel)(P...), int64_t blocks, int threads, size_t shared_bytes, A... arguments) {
  if (blocks == 0) return;
  constexpr size_t without_asking = 48 << 10;
  if (shared_bytes > without_asking)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream();
  check(cudaLaunchKernelEx(&config, kernel, arguments...));
}

}  // namespace poph
#endif
