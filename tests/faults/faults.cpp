// Preloaded into run_experiment: it counts and logs the calls that touch files below $FAULTS_ROOT, makes one of them
// (or all from one on) go wrong, lets the clocks jump, an allocation fail, and threads be refused. README.md has the
// words of $FAULTS. It asks the kernel directly, so it needs no other library's copy of a call.
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <new>

namespace {

constexpr int max_files = 4096, max_processes = 256;

// In a file that all processes of a run map: how many calls and allocations there were, and who they are.
struct Shared {
  int64_t calls, allocations;
  int processes;
  pid_t process[max_processes];
};

struct Plan {
  enum Kind { none, kill_all, torn, error, short_write, send_signal } kind = none;
  int number = 0;      // the error or the signal
  int64_t at = 0;      // the call
  bool on = false;     // and all that follow
  bool often = false;  // every second call
} plan;

Shared* shared = nullptr;
int64_t failing_allocation = -1;  // FAULTS_ALLOCATION=N: new fails the Nth time in main
int64_t threads_left = -1;        // FAULTS_THREADS=N: the system has N more threads; -1: as many as it has
const char* root = nullptr;
int log_file = -1;
bool ours[max_files];
bool in_main = false;  // main has been entered

struct Name {
  const char* name;
  int number;
};
constexpr Name names[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},      {"EROFS", EROFS}, {"EINTR", EINTR}, {"EDQUOT", EDQUOT},
                          {"INT", SIGINT},    {"TERM", SIGTERM}, {"HUP", SIGHUP},  {"USR1", SIGUSR1}};

void join() {
  const int place = __atomic_fetch_add(&shared->processes, 1, __ATOMIC_SEQ_CST);
  if (place < max_processes) shared->process[place] = getpid();
}

// FAULTS=kill@12, torn@12, ENOSPC@12 (this call), ENOSPC@12+ (and all that follow), short@1+, EINTR@* (every second
// one), TERM@12
__attribute__((constructor)) void begin() {
  root = getenv("FAULTS_ROOT");
  const char* map = getenv("FAULTS_SHARED");
  if (!root || !map) return;
  const int file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, map, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (file < 0 || syscall(SYS_ftruncate, file, sizeof(Shared)) != 0) abort();
  void* place = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (place == MAP_FAILED) abort();
  if (const char* number = getenv("FAULTS_ALLOCATION")) failing_allocation = atoll(number);
  if (const char* number = getenv("FAULTS_THREADS")) threads_left = atoll(number);
  shared = static_cast<Shared*>(place);
  join();
  pthread_atfork(nullptr, nullptr, join);
  if (const char* log = getenv("FAULTS_LOG"))
    log_file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  const char* words = getenv("FAULTS");
  const char* at = words ? strchr(words, '@') : nullptr;
  if (!at) return;
  const size_t length = static_cast<size_t>(at - words);
  const auto is = [&](const char* name) { return strlen(name) == length && strncmp(words, name, length) == 0; };
  plan.at = atoll(at + 1);
  plan.often = at[1] == '*';
  plan.on = strchr(at, '+') != nullptr;
  if (is("kill")) plan.kind = Plan::kill_all;
  if (is("torn")) plan.kind = Plan::torn;
  if (is("short")) plan.kind = Plan::short_write;
  for (const Name& name : names)
    if (is(name.name)) plan.kind = name.name[0] == 'E' ? Plan::error : Plan::send_signal, plan.number = name.number;
  if (plan.kind == Plan::none) abort();
}

// KILL for every process of the run, the first one first, as where the machine is switched off.
[[noreturn]] void kill_everyone() {
  const pid_t own = getpid();
  for (int i = 0; i < shared->processes && i < max_processes; ++i) {
    const pid_t process = shared->process[i];
    char path[64], name[32] = {};
    snprintf(path, sizeof path, "/proc/%d/comm", process);
    const int file = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
    if (file < 0) continue;
    const bool known = syscall(SYS_read, file, name, sizeof name - 1) > 0 && strncmp(name, "run_experiment", 14) == 0;
    syscall(SYS_close, file);
    if (process != own && known) kill(process, SIGKILL);
  }
  for (;;) kill(own, SIGKILL);
}

// Which calls can meet with this error at all.
bool fits(int error, const char* call, bool makes) {
  const auto is = [&](const char* name) { return strcmp(call, name) == 0; };
  const bool reads = is("read") || is("open folder") || (is("open") && !makes);
  if (error == EINTR) return is("open") || is("read") || is("write") || is("fsync");
  if (error == ENOSPC || error == EDQUOT)
    return is("write") || is("fsync") || is("mkdir") || is("link") || is("rename") || (is("open") && makes);
  if (error == EROFS) return !reads;
  return true;
}

struct Call {
  int64_t number = 0;
  int error = 0;      // to be given instead of the call
  bool half = false;  // write half of it
  bool last = false;  // then die
};

// To be asked before each call that counts.
Call next(const char* name, bool makes = false) {
  Call call;
  call.number = __atomic_add_fetch(&shared->calls, 1, __ATOMIC_SEQ_CST);
  const bool now = plan.often ? call.number % 2 == 0 : call.number == plan.at || (plan.on && call.number > plan.at);
  if (!now) return call;
  const bool writes = strcmp(name, "write") == 0;
  if (plan.kind == Plan::kill_all || (plan.kind == Plan::torn && !writes)) kill_everyone();
  if (plan.kind == Plan::torn) call.half = call.last = true;
  if (plan.kind == Plan::short_write) call.half = writes;
  if (plan.kind == Plan::error && fits(plan.number, name, makes)) call.error = plan.number;
  if (plan.kind == Plan::send_signal) kill(getpid(), plan.number);
  return call;
}

// A line: number, process, call, file descriptor, offset or flags, result, path, other path, data in hexadecimal
// digits.
void note(const Call& call, const char* name, int file, int64_t argument, int64_t result, const char* path = "",
          const char* other = "", const void* data = nullptr, size_t bytes = 0) {
  if (log_file < 0) return;
  const int before = errno;
  char* line = static_cast<char*>(malloc(2 * bytes + strlen(path) + strlen(other) + 200));
  int length = sprintf(line, "%lld\t%d\t%s\t%d\t%lld\t%lld\t%s\t%s\t", static_cast<long long>(call.number), getpid(),
                       name, file, static_cast<long long>(argument), static_cast<long long>(result), path, other);
  const uint8_t* from = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < bytes; ++i) {
    line[length++] = "0123456789abcdef"[from[i] >> 4];
    line[length++] = "0123456789abcdef"[from[i] & 15];
  }
  line[length++] = '\n';
  syscall(SYS_write, log_file, line, length);
  free(line);
  errno = before;
}

bool below_root(const char* path) {
  const size_t length = strlen(root);
  return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

// The absolute path, or null where it is none of ours.
const char* own_path(int folder, const char* path, char (&buffer)[4096]) {
  if (!shared) return nullptr;
  if (path[0] == '/') return below_root(path) ? path : nullptr;
  char link[64];
  snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
  const ssize_t length = readlink(link, buffer, sizeof buffer - 1);
  if (length < 0 || length + strlen(path) + 2 > sizeof buffer) return nullptr;
  buffer[length] = '/';
  strcpy(buffer + length + 1, path);
  return below_root(buffer) ? buffer : nullptr;
}

bool is_ours(int file) { return shared && file >= 0 && file < max_files && ours[file]; }

int64_t failed(const Call& call, const char* name, int file, const char* path = "") {
  note(call, name, file, 0, -1, path);
  errno = call.error;
  return -1;
}

int open_at(int folder, const char* path, int flags, mode_t mode) {
  char buffer[4096];
  const char* own = own_path(folder, path, buffer);
  Call call;
  if (own) call = next(flags & O_DIRECTORY ? "open folder" : "open", flags & (O_CREAT | O_WRONLY | O_RDWR));
  if (call.error) return static_cast<int>(failed(call, "open", -1, own));
  const int file = static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
  if (file >= 0 && file < max_files) ours[file] = own;
  if (own) note(call, "open", file, flags, file, own);
  return file;
}

ssize_t write_at(int file, const void* data, size_t bytes, int64_t offset) {
  const auto real = [&](size_t count) {
    return offset < 0 ? syscall(SYS_write, file, data, count) : syscall(SYS_pwrite64, file, data, count, offset);
  };
  if (!is_ours(file)) return real(bytes);
  const Call call = next("write", true);
  if (call.error) return failed(call, "write", file);
  const int64_t to = offset >= 0 ? offset : lseek(file, 0, fcntl(file, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
  const size_t part = call.half ? (bytes + 1) / 2 : bytes;
  const ssize_t done = real(part);
  note(call, "write", file, to, done, "", "", data, done > 0 ? static_cast<size_t>(done) : 0);
  if (call.last) kill_everyone();
  return done;
}

ssize_t read_at(int file, void* data, size_t bytes, int64_t offset) {
  const auto real = [&] {
    return offset < 0 ? syscall(SYS_read, file, data, bytes) : syscall(SYS_pread64, file, data, bytes, offset);
  };
  if (!is_ours(file)) return real();
  const Call call = next("read");
  if (call.error) return failed(call, "read", file);
  const ssize_t done = real();
  note(call, "read", file, offset, done);
  return done;
}

template <class Real>
int on_path(const char* name, int folder, const char* path, int other_folder, const char* other, int flags,
            const Real& real) {
  char buffer[4096], other_buffer[4096];
  const char *own = own_path(folder, path, buffer),
             *own_other = other ? own_path(other_folder, other, other_buffer) : nullptr;
  if (!own) return real();
  const Call call = next(name, true);
  if (call.error) return static_cast<int>(failed(call, name, -1, own));
  const int result = real();
  note(call, name, -1, flags, result, own, own_other ? own_other : "");
  return result;
}

template <class Real>
int on_file(const char* name, int file, int64_t argument, const Real& real) {
  if (!is_ours(file)) return real();
  const Call call = next(name, true);
  if (call.error) return static_cast<int>(failed(call, name, file));
  const int result = real();
  note(call, name, file, argument, result);
  return result;
}

// -- the clocks. FAULTS_CLOCK=jump: each reading of the time of day is up to ten years off, forwards and backwards, and
// the steady clock loses up to ten minutes at a reading now and then, as on a machine that sleeps. FAULTS_CLOCK=still:
// neither moves.
timespec clock_of(clockid_t which) {
  static const char* wanted = getenv("FAULTS_CLOCK");
  timespec now{};
  syscall(SYS_clock_gettime, which, &now);
  if (!wanted) return now;
  static int64_t readings = 0, lost = 0;
  const int64_t reading = __atomic_add_fetch(&readings, 1, __ATOMIC_SEQ_CST);
  const uint64_t bits = (static_cast<uint64_t>(reading) * 0x9E3779B97F4A7C15u) >> 33;
  if (strcmp(wanted, "still") == 0) return {1'700'000'000, 0};
  if (which == CLOCK_REALTIME) now.tv_sec += static_cast<int64_t>(bits % 630'000'000) - 315'000'000;
  if (which != CLOCK_REALTIME && bits % 16 == 0)
    __atomic_add_fetch(&lost, static_cast<int64_t>(bits / 16 % 600), __ATOMIC_SEQ_CST);
  if (which != CLOCK_REALTIME) now.tv_sec += __atomic_load_n(&lost, __ATOMIC_SEQ_CST);
  return now;
}

void* allocated(size_t bytes, size_t alignment) {
  const bool fails =
      in_main && shared && __atomic_add_fetch(&shared->allocations, 1, __ATOMIC_SEQ_CST) == failing_allocation;
  void* block = nullptr;
  if (fails || posix_memalign(&block, alignment, bytes ? bytes : 1) != 0) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(size_t bytes) { return allocated(bytes, alignof(max_align_t)); }
void* operator new[](size_t bytes) { return allocated(bytes, alignof(max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocated(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return allocated(bytes, static_cast<size_t>(alignment));
}

extern "C" {

int (*real_main)(int, char**, char**) = nullptr;
int noted_main(int count, char** words, char** environment) {
  in_main = true;
  return real_main(count, words, environment);
}
int __libc_start_main(int (*main)(int, char**, char**), int count, char** words, void (*init)(), void (*fini)(),
                      void (*loader)(), void* stack) {
  real_main = main;
  using Start = int (*)(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  return reinterpret_cast<Start>(dlsym(RTLD_NEXT, "__libc_start_main"))(noted_main, count, words, init, fini, loader,
                                                                        stack);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*work)(void*), void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const Create create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_left == 0) return EAGAIN;
  if (threads_left > 0) --threads_left;
  return create(thread, attributes, work, argument);
}

#define OPEN(NAME)                               \
  int NAME(const char* path, int flags, ...) {   \
    va_list more;                                \
    va_start(more, flags);                       \
    const mode_t mode = va_arg(more, mode_t);    \
    va_end(more);                                \
    return open_at(AT_FDCWD, path, flags, mode); \
  }
#define OPENAT(NAME)                                       \
  int NAME(int folder, const char* path, int flags, ...) { \
    va_list more;                                          \
    va_start(more, flags);                                 \
    const mode_t mode = va_arg(more, mode_t);              \
    va_end(more);                                          \
    return open_at(folder, path, flags, mode);             \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int file) {
  if (file >= 0 && file < max_files && ours[file]) {
    ours[file] = false;
    note({}, "close", file, 0, 0);
  }
  return static_cast<int>(syscall(SYS_close, file));
}

ssize_t write(int file, const void* data, size_t bytes) { return write_at(file, data, bytes, -1); }
ssize_t pwrite(int file, const void* data, size_t bytes, off_t offset) { return write_at(file, data, bytes, offset); }
ssize_t pwrite64(int file, const void* data, size_t bytes, off64_t offset) {
  return write_at(file, data, bytes, offset);
}
ssize_t read(int file, void* data, size_t bytes) { return read_at(file, data, bytes, -1); }
ssize_t pread(int file, void* data, size_t bytes, off_t offset) { return read_at(file, data, bytes, offset); }
ssize_t pread64(int file, void* data, size_t bytes, off64_t offset) { return read_at(file, data, bytes, offset); }

int fsync(int file) {
  return on_file("fsync", file, 0, [&] { return static_cast<int>(syscall(SYS_fsync, file)); });
}
int fdatasync(int file) { return fsync(file); }
int ftruncate(int file, off_t size) noexcept {
  return on_file("truncate", file, size, [&] { return static_cast<int>(syscall(SYS_ftruncate, file, size)); });
}
int ftruncate64(int file, off64_t size) noexcept { return ftruncate(file, size); }

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return on_path("rename", from_folder, from, to_folder, to, 0,
                 [&] { return static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, 0)); });
}
int rename(const char* from, const char* to) noexcept { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int link(const char* from, const char* to) noexcept {
  return on_path("link", AT_FDCWD, from, AT_FDCWD, to, 0,
                 [&] { return static_cast<int>(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0)); });
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  return on_path("unlink", folder, path, 0, nullptr, flags,
                 [&] { return static_cast<int>(syscall(SYS_unlinkat, folder, path, flags)); });
}
int unlink(const char* path) noexcept { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) noexcept { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) noexcept {
  const int before = errno;
  if (unlink(path) == 0) return 0;
  if (errno != EISDIR) return -1;
  errno = before;
  return rmdir(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  return on_path("mkdir", AT_FDCWD, path, 0, nullptr, 0,
                 [&] { return static_cast<int>(syscall(SYS_mkdirat, AT_FDCWD, path, mode)); });
}

int clock_gettime(clockid_t which, timespec* now) noexcept {
  *now = clock_of(which);
  return 0;
}
int gettimeofday(timeval* now, void*) noexcept {
  const timespec time = clock_of(CLOCK_REALTIME);
  *now = {time.tv_sec, time.tv_nsec / 1000};
  return 0;
}
time_t time(time_t* now) noexcept {
  const time_t seconds = clock_of(CLOCK_REALTIME).tv_sec;
  if (now) *now = seconds;
  return seconds;
}

}  // extern "C"
