#pragma once
#include <cmath>
#include <cstring>
#include <functional>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "cuda_runtime_api.h"

// The device side of CUDA that kernels are written with. A block's threads are fibers: each runs until it waits at a
// barrier or a shuffle, or ends. In which order they run changes from launch to launch, so that a missing barrier
// shows.
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// ASan gives each variable its red zones, and the tag in its name leads it into the section that shared.ld makes, which
// is NaN again for each block. (GCC ignores a section that is asked for within a template.)
#define __shared__ static __attribute__((abi_tag("shared")))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3() = default;
  constexpr explicit dim3(unsigned x, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
inline uint3 threadIdx{}, blockIdx{};  // of the thread that runs
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace poph::emulator {

using Where = std::source_location;

void* dynamic_shared_memory();
void wait_for_block(Where where);

struct Lanes {  // what the lanes of a warp brought to a call
  unsigned present = 0;
  uint64_t value[warpSize] = {};
};
Lanes wait_for_lanes(const char* call, unsigned mask, uint64_t value, Where where);
// ends the launch with an error
[[noreturn]] void fault(const char* call, Where where, const char* what, unsigned number);

inline int lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % warpSize; }

template <class T>
T shuffle(const char* call, unsigned mask, T value, int from, Where where) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  const Lanes lanes = wait_for_lanes(call, mask, bits, where);
  if (!(lanes.present >> from & 1)) fault(call, where, "reads a lane that does not take part:", from);
  std::memcpy(&value, &lanes.value[from], sizeof value);
  return value;
}

struct Launch {
  dim3 grid, block;
  size_t shared_bytes;
  const void* kernel;
  std::function<void()> thread;  // runs the kernel with its arguments
};
cudaError_t allow_shared_bytes(const void* kernel, int bytes);
cudaError_t launch(const Launch& launch, cudaStream_t stream);

}  // namespace poph::emulator

// -- barriers, shuffles and votes
inline void __syncthreads(poph::emulator::Where where = poph::emulator::Where::current()) {
  poph::emulator::wait_for_block(where);
}
inline void __syncwarp(unsigned mask = ~0u, poph::emulator::Where where = poph::emulator::Where::current()) {
  poph::emulator::wait_for_lanes("__syncwarp", mask, 0, where);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = warpSize,
              poph::emulator::Where where = poph::emulator::Where::current()) {
  const int first = poph::emulator::lane() / width * width;
  return poph::emulator::shuffle("__shfl_sync", mask, value, first + (from & (width - 1)), where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize,
                 poph::emulator::Where where = poph::emulator::Where::current()) {
  const int lane = poph::emulator::lane(), from = lane - static_cast<int>(by);
  return poph::emulator::shuffle("__shfl_up_sync", mask, value, from < lane / width * width ? lane : from, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize,
                   poph::emulator::Where where = poph::emulator::Where::current()) {
  const int lane = poph::emulator::lane(), from = lane + static_cast<int>(by);
  return poph::emulator::shuffle("__shfl_down_sync", mask, value, from >= (lane / width + 1) * width ? lane : from,
                                 where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  poph::emulator::Where where = poph::emulator::Where::current()) {
  const int lane = poph::emulator::lane(), from = lane ^ bits;
  return poph::emulator::shuffle("__shfl_xor_sync", mask, value, from / width > lane / width ? lane : from, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              poph::emulator::Where where = poph::emulator::Where::current()) {
  const poph::emulator::Lanes lanes = poph::emulator::wait_for_lanes("a vote", mask, predicate != 0, where);
  unsigned votes = 0;
  for (int i = 0; i < warpSize; ++i) votes |= static_cast<unsigned>(lanes.present >> i & lanes.value[i]) << i;
  return votes;
}
inline int __any_sync(unsigned mask, int predicate, poph::emulator::Where where = poph::emulator::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, poph::emulator::Where where = poph::emulator::Where::current()) {
  return __ballot_sync(mask, !predicate, where) == 0;
}
inline unsigned __activemask() { return 1u << poph::emulator::lane(); }  // all that a program may rely on

// -- atomics: one thread runs at a time
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at += value;
  return before;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at = before < value ? value : before;
  return before;
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T before = *at;
  if (before == expected) *at = value;
  return before;
}

// -- launches
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute, int bytes) {
  return poph::emulator::allow_shared_bytes(reinterpret_cast<const void*>(kernel), bytes);
}

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  const auto thread = [kernel, copies = std::tuple<std::decay_t<P>...>(std::forward<A>(arguments)...)] {
    std::apply(kernel, copies);
  };
  return poph::emulator::launch(
      {config->gridDim, config->blockDim, config->dynamicSmemBytes, reinterpret_cast<const void*>(kernel), thread},
      config->stream);
}
