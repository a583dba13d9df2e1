#pragma once
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <string>

#include "tensor/error.h"

#if POPH_CUDA
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#endif

// Whether AddressSanitizer watches, which GCC and clang say in two ways.
#ifdef __SANITIZE_ADDRESS__
#define POPH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POPH_ASAN 1
#endif
#endif
#ifndef POPH_ASAN
#define POPH_ASAN 0
#endif

// The two places where numbers live, and the caching allocator that serves both.
namespace poph {

enum class Device : uint8_t { cpu, cuda };

std::ostream& operator<<(std::ostream& out, Device device);

bool cuda_available();                   // built with CUDA, and there is a usable GPU
std::string device_name(Device device);  // as users know it: "cpu (AMD EPYC ..)" or the GPU's product name

// Uninitialised memory, 64-byte aligned. When its last owner is gone, the block returns to a free list of its size
// class, so that a loop that repeats its sizes allocates nothing after its first round. Error when memory runs out.
std::shared_ptr<std::byte> allocate(Device device, size_t bytes);

struct MemoryUse {
  size_t in_use = 0, peak = 0, reserved = 0;  // bytes: owned by tensors now, their maximum, held from the system
  int64_t system_allocations = 0;             // how often the free lists had no block
};
MemoryUse memory_use(Device device);
void reset_peak(Device device);
void release_cached(Device device);  // gives the free lists back to the system

// Blocks apart from the others: a block that is allocated in a Scope of an arena returns to that arena alone, and
// nobody else gets it while the arena lives. A graph that was captured in an arena may be replayed as long as the arena
// lives.
class Arena {
 public:
  explicit Arena(Device device);

  class Scope {  // within this thread; without an arena: the allocator's own blocks, whatever scope is around
   public:
    explicit Scope(const Arena* arena);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const Arena* before_;
  };

 private:
  friend std::shared_ptr<std::byte> allocate(Device device, size_t bytes);
  struct Blocks;
  std::shared_ptr<Blocks> blocks_;
};

// Memory of the CPU for copies that run beside the CPU's work: page-locked where the device is a GPU.
std::shared_ptr<std::byte> allocate_staging(Device device, size_t bytes);

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes);
void set_zero(void* data, Device device, size_t bytes);
void synchronize(Device device);  // waits for the GPU; nothing to do on the CPU

void set_threads(int count);  // OpenMP threads of the CPU kernels
int threads();
std::string cpu_kernels();  // the instructions that the CPU's float32 kernels use: "AVX-512", "AVX2" or "baseline"

// While one with `on` lives, the GPU's float32 products round their operands to TF32 (10 bits of fraction). The CPU's
// do not.
class Tf32Products {
 public:
  explicit Tf32Products(bool on);
  ~Tf32Products();
  Tf32Products(const Tf32Products&) = delete;
  Tf32Products& operator=(const Tf32Products&) = delete;
  static bool allowed();

 private:
  bool before_;
};

#if POPH_CUDA
void check(cudaError_t status);
void check(cublasStatus_t status);
cudaStream_t stream();  // the one stream all kernels run on
cublasHandle_t cublas();
#endif

}  // namespace poph
