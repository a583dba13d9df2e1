#pragma once
#include "tensor/kernel.h"

// Kernels for tests/tensor/test_emulator.cpp: some that are right, and some with a mistake that the emulator must find.
namespace {

using poph::shared_memory;

constexpr unsigned all_lanes = ~0u;

__device__ float block_sum(float value) {
  __shared__ float of_warp[32];
  for (int by = 16; by > 0; by /= 2) value += __shfl_down_sync(all_lanes, value, by);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float total = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) total += of_warp[warp];
  return total;
}
// a block a row, whole warps
__global__ void __launch_bounds__(512) sum_rows(const float* __restrict__ x, float* y, int width) {
  const int i = threadIdx.x;
  const float total = block_sum(i < width ? x[blockIdx.x * width + i] : 0);
  if (i == 0) y[blockIdx.x] = total;
}

enum Mistake { none, missing_barrier, divergent_barrier };

template <class T, Mistake mistake>
__global__ void reverse(T* x) {
  __shared__ T tile[512];
  tile[threadIdx.x] = x[threadIdx.x];
  if constexpr (mistake == none) __syncthreads();
  if constexpr (mistake == divergent_barrier)
    if (threadIdx.x < 16) __syncthreads();
  x[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

template <Mistake mistake>
__global__ void running_sum(float* x) {  // in one block: twice the reach from step to step
  float* sums = shared_memory<float>();
  const unsigned i = threadIdx.x;
  sums[i] = x[i];
  for (unsigned reach = 1; reach < blockDim.x; reach *= 2) {
    __syncthreads();
    const float before = i >= reach ? sums[i - reach] : 0;
    if constexpr (mistake == none) __syncthreads();
    sums[i] += before;
  }
  x[i] = sums[i];
}

__global__ void shuffles(int* y) {
  const int i = threadIdx.x, n = blockDim.x;
  y[i] = __shfl_sync(all_lanes, i, 0);
  y[n + i] = __shfl_up_sync(all_lanes, i, 3);
  y[2 * n + i] = __shfl_sync(all_lanes, i, 5, 1);
  const unsigned partner = (i % 32) ^ 1, there = __ballot_sync(all_lanes, 1);
  const bool paired = there >> partner & 1;
  const unsigned pairs = __ballot_sync(all_lanes, paired);
  y[3 * n + i] = paired ? __shfl_xor_sync(pairs, i, 1) : -1;
}

__global__ void votes(unsigned* y) {
  const unsigned i = threadIdx.x, n = blockDim.x;
  y[i] = __ballot_sync(all_lanes, i % 3 == 0);
  y[n + i] = __any_sync(all_lanes, i == 40);
  y[2 * n + i] = __all_sync(all_lanes, i != 40);
}

__global__ void atomics(int* counts, float* sum, int* largest) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&counts[i % 3], 1);
  atomicAdd(sum, 0.5f);
  atomicMax(largest, i);
  while (atomicCAS(&counts[3], i, i + 1) == -1) __syncwarp(1u << threadIdx.x % 32);
}

__global__ void order_of_threads(int* ticket, int* order) { order[threadIdx.x] = atomicAdd(ticket, 1); }

__global__ void store_at(float* x, int i) { x[i] = 1; }
__global__ void store_in_shared(float* x, int i) {
  __shared__ float tile[32];
  float* volatile at = tile;  // out of sight of UBSan, which knows the tile's size
  at[threadIdx.x] = 0;
  at[i] = 1;
  x[threadIdx.x] = at[threadIdx.x];
}
__global__ void store_in_dynamic_shared(float* x, int i) {
  shared_memory<float>()[i] = 1;
  *x = shared_memory<float>()[i];
}

__global__ void ask_an_absent_lane(int* y) { y[threadIdx.x] = __shfl_sync(all_lanes, 1, 20); }
__global__ void forget_itself(int* y) { y[threadIdx.x] = __shfl_sync(0xffffu, 1, 0); }
__global__ void wait_in_different_calls(int* y) {
  if (threadIdx.x % 2)
    y[threadIdx.x] = __any_sync(all_lanes, 1);
  else
    y[threadIdx.x] = __all_sync(all_lanes, 1);
}
__global__ void wait_at_different_barriers() {
  if (threadIdx.x % 2)
    __syncthreads();
  else
    __syncthreads();
}

}  // namespace
