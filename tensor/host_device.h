#pragma once

// Marks what both the host and the GPU call.
#if defined(__CUDACC__)
#define POPH_HD __host__ __device__ __forceinline__
#else
#define POPH_HD inline __attribute__((always_inline))
#endif

// Before a loop over an array that must live in registers: its indices have to be constants.
#if defined(__CUDACC__)
#define POPH_UNROLL _Pragma("unroll")
#else
#define POPH_UNROLL
#endif
