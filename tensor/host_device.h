#pragma once

// POPH_HD marks functions that both the host and the GPU call.
#if defined(__CUDACC__)
#define POPH_HD __host__ __device__ __forceinline__
#else
#define POPH_HD inline __attribute__((always_inline))
#endif
