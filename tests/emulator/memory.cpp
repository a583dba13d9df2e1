#include <sanitizer/asan_interface.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "tests/emulator/device.h"

// Device memory: one mapping, in which each block has an address that no other ever had, with poisoned bytes behind it.
namespace poph::emulator {
namespace {

constexpr size_t address_space = size_t{64} << 30, device_bytes = size_t{4} << 30, alignment = 256, red_zone = 256,
                 huge_page = 2 << 20;

struct Memory {
  char* base = nullptr;
  size_t used = 0;       // of the address space
  size_t allocated = 0;  // bytes of blocks
  int openings = 0;
  std::map<char*, size_t> blocks;
  std::set<void*> pinned;
};

struct sigaction on_fault_before;

bool within(const Memory& memory, const void* address) {
  return memory.base && address >= memory.base && address < memory.base + address_space;
}

size_t rounded_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

Memory& memory();

void on_fault(int, siginfo_t* info, void*) {
  if (within(memory(), info->si_addr)) {
    constexpr char message[] = "emulated CUDA: host code touched device memory\n";
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(1);
  }
  sigaction(SIGSEGV, &on_fault_before, nullptr);  // the access is tried again, and AddressSanitizer says where
}

Memory& memory() {
  static Memory* the_memory = [] {
    auto* made = new Memory;
    void* const mapped =
        mmap(nullptr, address_space + huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) std::perror("emulated CUDA: mmap"), std::abort();
    made->base = reinterpret_cast<char*>(rounded_up(reinterpret_cast<size_t>(mapped), huge_page));
    // rights change with every use of the device: fewer pages take less time
    madvise(made->base, address_space, MADV_HUGEPAGE);
    return made;
  }();
  return *the_memory;
}

void watch_faults() {  // again and again: a test framework sets and resets handlers of its own
  struct sigaction action {};
  sigaction(SIGSEGV, nullptr, &action);
  if (action.sa_sigaction == on_fault) return;
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &on_fault_before);
}

void protect(const Memory& m, int rights) {
  if (m.used > 0 && mprotect(m.base, rounded_up(m.used, huge_page), rights))
    std::perror("emulated CUDA: mprotect"), std::abort();
}

}  // namespace

std::recursive_mutex& mutex() {
  static auto* the_mutex = new std::recursive_mutex;
  return *the_mutex;
}

OpenDevice::OpenDevice() {
  mutex().lock();
  if (memory().openings++ == 0) protect(memory(), PROT_READ | PROT_WRITE);
}

OpenDevice::~OpenDevice() {
  if (--memory().openings == 0) {
    protect(memory(), PROT_NONE);
    watch_faults();
  }
  mutex().unlock();
}

bool is_device_memory(const void* address) { return within(memory(), address); }

void set_usable(cudaStream_t stream, void* block, size_t usable, size_t size) {
  enqueue(stream, [=] {
    ASAN_UNPOISON_MEMORY_REGION(block, size);
    std::memset(block, 0xff, usable);
    ASAN_POISON_MEMORY_REGION(static_cast<char*>(block) + usable, size - usable);
  });
}

}  // namespace poph::emulator

using namespace poph::emulator;

cudaError_t cudaMalloc(void** block, size_t bytes) {
  std::lock_guard lock(mutex());
  *block = nullptr;
  if (const cudaError_t error = forbid_in_capture("cudaMalloc")) return error;
  Memory& m = memory();
  const size_t room = rounded_up(bytes, alignment) + red_zone;
  if (m.allocated + bytes > device_bytes || m.used + room > address_space)
    return report(cudaErrorMemoryAllocation, "cudaMalloc");
  char* const made = m.base + m.used;
  m.used += room;
  m.allocated += bytes;
  m.blocks[made] = bytes;
  const OpenDevice open;
  std::memset(made, 0xff, bytes);
  ASAN_POISON_MEMORY_REGION(made + bytes, room - bytes);
  *block = made;
  return cudaSuccess;
}

cudaError_t cudaFree(void* block) {
  std::lock_guard lock(mutex());
  if (!block) return cudaSuccess;
  if (const cudaError_t error = forbid_in_capture("cudaFree")) return error;
  finish_all_streams();
  const auto found = memory().blocks.find(static_cast<char*>(block));
  if (found == memory().blocks.end()) return report(cudaErrorInvalidValue, "cudaFree of what is no block");
  const auto [start, bytes] = *found;
  memory().allocated -= bytes;
  memory().blocks.erase(found);
  ASAN_POISON_MEMORY_REGION(start, bytes);
  char* const first_page = memory().base + rounded_up(start - memory().base, 4096);
  if (first_page + 4096 <= start + bytes)
    madvise(first_page, (start + bytes - first_page) / 4096 * 4096, MADV_DONTNEED);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** block, size_t bytes) {
  std::lock_guard lock(mutex());
  *block = nullptr;
  if (const cudaError_t error = forbid_in_capture("cudaMallocHost")) return error;
  if (posix_memalign(block, alignment, bytes)) return report(cudaErrorMemoryAllocation, "cudaMallocHost");
  memory().pinned.insert(*block);
  return cudaSuccess;
}

// Does not wait for copies from or to the block: one that comes later is a use after free.
cudaError_t cudaFreeHost(void* block) {
  std::lock_guard lock(mutex());
  if (!block) return cudaSuccess;
  if (const cudaError_t error = forbid_in_capture("cudaFreeHost")) return error;
  if (memory().pinned.erase(block) == 0)
    return report(cudaErrorInvalidValue, "cudaFreeHost of what is no pinned block");
  std::free(block);
  return cudaSuccess;
}
