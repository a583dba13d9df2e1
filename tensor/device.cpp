#include "tensor/device.h"

#include <omp.h>
#if POPH_ASAN
#include <sanitizer/asan_interface.h>
#endif

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <new>
#include <ostream>
#include <vector>

// The caching allocator: free lists by size class, one pool a device, and arenas apart from it. Copies, threads and the
// one CUDA stream are here too.
namespace poph {
namespace {

constexpr size_t alignment = 64;

// Size classes: four steps per power of two, so at most a quarter of a block is unused.
size_t size_class(size_t bytes) {
  size_t step = alignment;
  while (step * 8 <= bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

void* system_allocate(Device device, size_t bytes) {
  if (device == Device::cpu) return std::aligned_alloc(alignment, bytes);
#if POPH_CUDA
  void* block = nullptr;
  if (cudaMalloc(&block, bytes) == cudaSuccess) return block;
  cudaGetLastError();
#endif
  return nullptr;
}

void system_free(Device device, void* block) {
  if (device == Device::cpu) std::free(block);
#if POPH_CUDA
  else
    cudaFree(block);
#endif
}

// Tells sanitizers which bytes of a block its owner may touch: size classes and free lists hide accesses out of bounds.
void set_usable([[maybe_unused]] Device device, [[maybe_unused]] void* block, [[maybe_unused]] size_t usable,
                [[maybe_unused]] size_t size) {
#if POPH_ASAN
  if (device == Device::cpu) {
    ASAN_UNPOISON_MEMORY_REGION(block, usable);
    ASAN_POISON_MEMORY_REGION(static_cast<std::byte*>(block) + usable, size - usable);
  }
#endif
#if POPH_EMULATED
  if (device == Device::cuda) emulator::set_usable(stream(), block, usable, size);
#endif
}

// All kernels run on one stream, so a block may be handed out again before the kernels that used it have finished.
struct Pool {
  std::mutex mutex;
  std::map<size_t, std::vector<void*>> free_blocks;
  MemoryUse use;

  // Called by tensors' destructors: without memory for one more place in the list, the system gets the block.
  void keep(Device device, size_t size, void* block) noexcept {
    try {
      free_blocks[size].push_back(block);
    } catch (const std::bad_alloc&) {
      system_free(device, block);
      use.reserved -= size;
    }
  }

  void release(Device device) {
    for (auto& [bytes, blocks] : free_blocks) {
      for (void* block : blocks) system_free(device, block);
      use.reserved -= bytes * blocks.size();
    }
    free_blocks.clear();
  }
};

thread_local const Arena* current_arena = nullptr;

// Never destroyed: tensors with static lifetime may outlive any destructor order.
Pool& pool(Device device) {
  static Pool* pools = new Pool[2];
  return pools[static_cast<int>(device)];
}

}  // namespace

std::ostream& operator<<(std::ostream& out, Device device) { return out << (device == Device::cpu ? "cpu" : "cuda"); }

// Guarded by the mutex of the device's pool, to which they return in the end.
struct Arena::Blocks {
  const Device device;
  std::map<size_t, std::vector<void*>> free_blocks = {};

  ~Blocks() {
    Pool& p = pool(device);
    std::lock_guard lock(p.mutex);
    for (auto& [size, blocks] : free_blocks)
      for (void* block : blocks) p.keep(device, size, block);
  }
};

Arena::Arena(Device device) : blocks_(new Blocks{device}) {}
Arena::Scope::Scope(const Arena* arena) : before_(current_arena) { current_arena = arena; }
Arena::Scope::~Scope() { current_arena = before_; }

std::shared_ptr<std::byte> allocate(Device device, size_t bytes) {
  require(device == Device::cpu || cuda_available(), "allocate: no usable CUDA device");
  const size_t size = size_class(std::max(bytes, alignment));
  const bool apart = current_arena && current_arena->blocks_->device == device;
  const std::shared_ptr<Arena::Blocks> arena = apart ? current_arena->blocks_ : nullptr;
#if POPH_CUDA
  if (device == Device::cuda && !arena) {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(stream(), &capturing));
    require(capturing == cudaStreamCaptureStatusNone, "allocate: within a graph, yet outside its arena");
  }
#endif
  Pool& p = pool(device);
  void* block = nullptr;
  {
    std::lock_guard lock(p.mutex);
    const auto take = [&](std::vector<void*>& blocks) {
      if (block || blocks.empty()) return;
      block = blocks.back();
      blocks.pop_back();
    };
    if (arena) take(arena->free_blocks[size]);
    take(p.free_blocks[size]);
    if (!block) {
      block = system_allocate(device, size);
      if (!block) {
        p.release(device);
        block = system_allocate(device, size);
      }
      if (!block)
        throw OutOfMemory(
            joined("out of memory on ", device, ": asked for ", bytes, " bytes with ", p.use.in_use, " in use"));
      p.use.reserved += size;
      ++p.use.system_allocations;
    }
    p.use.in_use += size;
    p.use.peak = std::max(p.use.peak, p.use.in_use);
  }
  set_usable(device, block, bytes, size);
  return {static_cast<std::byte*>(block), [device, size, arena](std::byte* block) {
            set_usable(device, block, 0, size);
            Pool& p = pool(device);
            std::lock_guard lock(p.mutex);
            p.use.in_use -= size;
            if (!arena) return p.keep(device, size, block);
            try {
              arena->free_blocks[size].push_back(block);
            } catch (const std::bad_alloc&) {  // lost, as graphs may still use it
            }
          }};
}

std::shared_ptr<std::byte> allocate_staging(Device device, size_t bytes) {
#if POPH_CUDA
  if (device == Device::cuda) {
    void* block = nullptr;
    check(cudaMallocHost(&block, std::max(bytes, alignment)));
    return {static_cast<std::byte*>(block), [](std::byte* block) { cudaFreeHost(block); }};
  }
#endif
  return allocate(device, bytes);
}

MemoryUse memory_use(Device device) {
  std::lock_guard lock(pool(device).mutex);
  return pool(device).use;
}

void reset_peak(Device device) {
  std::lock_guard lock(pool(device).mutex);
  pool(device).use.peak = pool(device).use.in_use;
}

void release_cached(Device device) {
  synchronize(device);
  std::lock_guard lock(pool(device).mutex);
  pool(device).release(device);
}

void set_threads(int count) { omp_set_num_threads(count); }
int threads() { return omp_get_max_threads(); }

void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (bytes == 0) return;
  if (to_device == Device::cpu && from_device == Device::cpu) {
    std::memcpy(to, from, bytes);
    return;
  }
#if POPH_CUDA
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream()));
  if (to_device == Device::cpu || from_device == Device::cpu) check(cudaStreamSynchronize(stream()));
#else
  fail("copy: this build has no CUDA");
#endif
}

void set_zero(void* data, Device device, size_t bytes) {
  if (bytes == 0) return;
  if (device == Device::cpu) {
    std::memset(data, 0, bytes);
    return;
  }
#if POPH_CUDA
  check(cudaMemsetAsync(data, 0, bytes, stream()));
#endif
}

void synchronize(Device device) {
#if POPH_CUDA
  if (device == Device::cuda && cuda_available()) check(cudaStreamSynchronize(stream()));
#else
  (void)device;
#endif
}

bool cuda_available() {
#if POPH_CUDA
  static const bool available = [] {
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  }();
  return available;
#else
  return false;
#endif
}

std::string device_name(Device device) {
#if POPH_CUDA
  if (device == Device::cuda) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, 0));
    return properties.name;
  }
#endif
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; device == Device::cpu && std::getline(info, line);)
    if (line.starts_with("model name")) return "cpu (" + line.substr(line.find(':') + 2) + ")";
  return joined(device);
}

namespace {
bool tf32_products = false;
}  // namespace

Tf32Products::Tf32Products(bool on) : before_(tf32_products) { tf32_products = on; }
Tf32Products::~Tf32Products() { tf32_products = before_; }
bool Tf32Products::allowed() { return tf32_products; }

#if POPH_CUDA
void check(cudaError_t status) { require(status == cudaSuccess, "CUDA: ", cudaGetErrorString(status)); }
void check(cublasStatus_t status) {
  require(status == CUBLAS_STATUS_SUCCESS, "cuBLAS: ", cublasGetStatusString(status));
}

cudaStream_t stream() {
  static const cudaStream_t the_stream = [] {
    cudaStream_t made;
    check(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking));
    return made;
  }();
  return the_stream;
}

cublasHandle_t cublas() {
  static const cublasHandle_t handle = [] {
    cublasHandle_t made;
    check(cublasCreate(&made));
    check(cublasSetStream(made, stream()));
    // Our own workspace: cuBLAS allocates none within a captured graph, and one stream with one workspace repeats bit
    // for bit. Its size is cuBLAS's own on an H100. Setting the stream would drop it, so this comes last.
    constexpr size_t workspace_bytes = size_t{32} << 20;
    const Arena::Scope no_arena(nullptr);  // it outlives the arena of the first caller
    static const auto* workspace = new std::shared_ptr<std::byte>(allocate(Device::cuda, workspace_bytes));
    check(cublasSetWorkspace(made, workspace->get(), workspace_bytes));
    return made;
  }();
  return handle;
}
#endif

}  // namespace poph
