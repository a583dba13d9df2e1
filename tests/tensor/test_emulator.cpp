#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <set>

#include "tensor/gemm.h"
#include "tests/support/emulator_kernels.h"
#include "tests/support/support.h"

// The emulated CUDA device (tests/emulator): right kernels give their numbers, and each kind of planted mistake is
// found.
namespace {

using namespace poph;
using namespace poph::test;
using boost::test_tools::per_element;
namespace data = boost::unit_test::data;

const std::vector<int> sizes{1, 31, 32, 33, 257};

Tensor counting(int64_t n, Dtype dtype = Dtype::f32) {
  std::vector<double> values(n);
  std::iota(values.begin(), values.end(), 1);
  return Tensor::from(values, {n}, dtype, Device::cuda);
}

std::string failure_of(const std::function<void()>& start) {
  return message_of([&] {
    start();
    synchronize(Device::cuda);
  });
}

// The standard error of a child process that does this and then waits for the device, or "no report".
std::string report_of(const std::function<void()>& action) {
  int ends[2];
  BOOST_TEST_REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    for (int number : {SIGSEGV, SIGABRT}) signal(number, SIG_DFL);  // not back into Boost's loop over the tests
    dup2(ends[1], STDERR_FILENO);
    synchronize(Device::cuda);  // what is queued is not the action's
    action();
    synchronize(Device::cuda);
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t count; (count = read(ends[0], part, sizeof part)) > 0;) text.append(part, count);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? "no report" : text;
}

bool says(const std::string& text, const std::string& words) {
  if (text.find(words) != std::string::npos) return true;
  BOOST_TEST_MESSAGE("expected '" << words << "' in: " << text);
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(emulator)

// -- right kernels

BOOST_DATA_TEST_CASE(sums_of_rows, data::make(sizes), n) {
  const Tensor x = counting(3 * n);
  const Tensor y({3}, Dtype::f32, Device::cuda);
  launch_kernel(sum_rows, 3, (n + 31) / 32 * 32, 0, x.data<float>(), y.data<float>(), n);
  for (int row = 0; row < 3; ++row) BOOST_TEST(y.values()[row] == n * (row * n + (n + 1) / 2.0));
}

BOOST_DATA_TEST_CASE(a_barrier_orders_what_goes_through_shared_memory, data::make(sizes), n) {
  const Tensor x = counting(n), y = counting(n, Dtype::f64), z = counting(n);
  launch_kernel(reverse<float, none>, 1, n, 0, x.data<float>());
  launch_kernel(reverse<double, none>, 1, n, 0, y.data<double>());
  launch_kernel(running_sum<none>, 1, n, n * sizeof(float), z.data<float>());
  for (int i = 0; i < n; ++i) {
    BOOST_TEST(x.values()[i] == n - i);
    BOOST_TEST(y.values()[i] == n - i);
    BOOST_TEST(z.values()[i] == (i + 1) * (i + 2) / 2);
  }
}

BOOST_DATA_TEST_CASE(shuffles_within_warps, data::make(sizes), n) {
  const Tensor y({4, n}, Dtype::i32, Device::cuda);
  launch_kernel(shuffles, 1, n, 0, y.data<int32_t>());
  const std::vector<double> found = y.values();
  for (int i = 0; i < n; ++i) {
    BOOST_TEST(found[i] == i / 32 * 32);
    BOOST_TEST(found[n + i] == (i % 32 < 3 ? i : i - 3));
    BOOST_TEST(found[2 * n + i] == i);
    BOOST_TEST(found[3 * n + i] == ((i ^ 1) < n ? i ^ 1 : -1));
  }
}

BOOST_DATA_TEST_CASE(votes_of_warps, data::make(sizes), n) {
  const Tensor y({3, n}, Dtype::i32, Device::cuda);
  launch_kernel(votes, 1, n, 0, reinterpret_cast<unsigned*>(y.data<int32_t>()));
  const std::vector<double> found = y.values();
  for (int i = 0; i < n; ++i) {
    unsigned expected = 0;
    for (int lane = 0; lane < 32 && i / 32 * 32 + lane < n; ++lane)
      expected |= ((i / 32 * 32 + lane) % 3 == 0 ? 1u : 0u) << lane;
    BOOST_TEST(static_cast<unsigned>(static_cast<int>(found[i])) == expected);
    BOOST_TEST(found[n + i] == (i / 32 == 1 && n > 40));
    BOOST_TEST(found[2 * n + i] == !(i / 32 == 1 && n > 40));
  }
}

BOOST_DATA_TEST_CASE(atomics_of_several_blocks, data::make(sizes), n) {
  const Tensor counts = Tensor::zeros({4}, Dtype::i32, Device::cuda),
               largest = Tensor::zeros({}, Dtype::i32, Device::cuda);
  const Tensor sum = Tensor::zeros({}, Dtype::f32, Device::cuda);
  launch_kernel(atomics, 2, n, 0, counts.data<int32_t>(), sum.data<float>(), largest.data<int32_t>());
  for (int i = 0; i < 3; ++i) BOOST_TEST(counts.values()[i] == (2 * n - i + 2) / 3);
  BOOST_TEST(sum.item() == n);
  BOOST_TEST(largest.item() == 2 * n - 1);
}

BOOST_AUTO_TEST_CASE(threads_run_in_several_orders) {
  std::set<std::vector<double>> orders;
  for (int launch = 0; launch < 12; ++launch) {
    const Tensor ticket = Tensor::zeros({}, Dtype::i32, Device::cuda), order({33}, Dtype::i32, Device::cuda);
    launch_kernel(order_of_threads, 1, 33, 0, ticket.data<int32_t>(), order.data<int32_t>());
    orders.insert(order.values());
  }
  BOOST_TEST(orders.size() >= 3);
}

// -- mistakes in kernels

BOOST_AUTO_TEST_CASE(a_missing_barrier_gives_wrong_numbers) {
  const Tensor x = counting(257);
  launch_kernel(reverse<float, missing_barrier>, 1, 257, 0, x.data<float>());
  const std::vector<double> found = x.values();
  BOOST_TEST(std::count_if(found.begin(), found.end(), [](double value) { return std::isnan(value); }) > 100);
  bool ever_wrong = false;
  for (int launch = 0; launch < 6; ++launch) {  // nothing is read before it is written, but in some orders too late
    const Tensor y = counting(257);
    launch_kernel(running_sum<missing_barrier>, 1, 257, 257 * sizeof(float), y.data<float>());
    ever_wrong = ever_wrong || y.values()[256] != 257 * 258 / 2;
  }
  BOOST_TEST(ever_wrong);
}

BOOST_AUTO_TEST_CASE(barriers_and_shuffles_that_cannot_end_are_errors) {
  const Tensor x = counting(48), y({48}, Dtype::i32, Device::cuda);
  int32_t* const to = y.data<int32_t>();
  const std::string divergent =
      failure_of([&] { launch_kernel(reverse<float, divergent_barrier>, 1, 48, 0, x.data<float>()); });
  BOOST_TEST(says(divergent, "reverse<float, "));
  BOOST_TEST(says(divergent, "<<<1, 48>>>, block 0: thread 0 waits at __syncthreads (emulator_kernels.h:"));
  BOOST_TEST(says(divergent, "), and thread 16 has ended"));
  BOOST_TEST(says(failure_of([&] { launch_kernel(ask_an_absent_lane, 1, 48, 0, to); }),
                  "reads a lane that does not take part: 20"));
  BOOST_TEST(says(failure_of([&] { launch_kernel(forget_itself, 1, 32, 0, to); }),
                  "is not in the mask of its own __shfl_sync of mask 0xffff ("));
  BOOST_TEST(says(failure_of([&] { launch_kernel(wait_in_different_calls, 1, 32, 0, to); }),
                  "thread 0 waits at a vote of mask 0xffffffff (emulator_kernels.h:"));
  BOOST_TEST(says(failure_of([&] { launch_kernel(wait_at_different_barriers, 1, 32, 0); }),
                  "threads 0 and 1 are at different barriers"));
  launch_kernel(store_at, 1, 1, 0, x.data<float>(), 0);  // and the device goes on
  BOOST_TEST(x.values()[0] == 1);
}

BOOST_AUTO_TEST_CASE(accesses_out_of_bounds_are_reported) {
  const Tensor x = counting(33);  // 132 bytes, of a block of 192
  float* const to = x.data<float>();
  BOOST_TEST(report_of([&] { launch_kernel(store_at, 1, 1, 0, to, 32); }) == "no report");
  const std::string global = report_of([&] { launch_kernel(store_at, 1, 1, 0, to, 33); });
  BOOST_TEST(says(global, "AddressSanitizer: use-after-poison"));
  BOOST_TEST(says(global, "store_at"));
  BOOST_TEST(report_of([&] { launch_kernel(store_in_shared, 1, 32, 0, to, 31); }) == "no report");
  const std::string shared = report_of([&] { launch_kernel(store_in_shared, 1, 32, 0, to, 32); });
  BOOST_TEST(says(shared, "AddressSanitizer: global-buffer-overflow"));
  BOOST_TEST(says(shared, "0 bytes to the right of global variable 'tile'"));
  BOOST_TEST(report_of([&] { launch_kernel(store_in_dynamic_shared, 1, 1, 20, to, 4); }) == "no report");
  BOOST_TEST(says(report_of([&] { launch_kernel(store_in_dynamic_shared, 1, 1, 20, to, 5); }), "heap-buffer-overflow"));
}

BOOST_AUTO_TEST_CASE(memory_that_was_given_back_is_out_of_bounds) {
  float* stale = nullptr;
  {
    const Tensor x = counting(33);
    stale = x.data<float>();
    BOOST_TEST(report_of([&] { launch_kernel(store_at, 1, 1, 0, stale, 0); }) == "no report");
  }
  BOOST_TEST(says(report_of([&] { launch_kernel(store_at, 1, 1, 0, stale, 0); }), "use-after-poison"));
}

BOOST_AUTO_TEST_CASE(launches_that_a_device_refuses) {
  const Tensor x = counting(1);
  BOOST_TEST(says(failure_of([&] { launch_kernel(store_at, 1, 1025, 0, x.data<float>(), 0); }),
                  "CUDA: invalid configuration argument"));
  BOOST_TEST(says(failure_of([&] { launch_kernel(store_at, 1, 1, 228 << 10, x.data<float>(), 0); }),
                  "CUDA: invalid argument"));
  BOOST_TEST(failure_of([&] { launch_kernel(store_at, 1, 1, 227 << 10, x.data<float>(), 0); }) == "no error");
}

// -- mistakes on the host

BOOST_AUTO_TEST_CASE(the_host_must_not_touch_device_memory) {
  const Tensor x = counting(4);
  BOOST_TEST(says(report_of([&] { x.data<float>()[0] = 1; }), "emulated CUDA: host code touched device memory"));
}

BOOST_AUTO_TEST_CASE(fresh_device_memory_is_nan) {
  for (int round = 0; round < 2; ++round) {  // and so is a block from the free list
    const Tensor x({5}, Dtype::f32, Device::cuda);
    for (double value : x.values()) BOOST_TEST(std::isnan(value));
    launch_kernel(store_at, 1, 1, 0, x.data<float>(), 2);
  }
}

BOOST_AUTO_TEST_CASE(work_is_done_late) {
  const Tensor x({2}, Dtype::f32, Device::cuda);
  float* pinned = nullptr;
  check(cudaMallocHost(reinterpret_cast<void**>(&pinned), 4 * sizeof(float)));
  pinned[0] = pinned[2] = 1;
  check(cudaMemcpyAsync(x.raw(), pinned, 2 * sizeof(float), cudaMemcpyHostToDevice, stream()));
  check(cudaMemcpyAsync(pinned + 2, x.raw(), 2 * sizeof(float), cudaMemcpyDeviceToHost, stream()));
  pinned[0] = pinned[1] = 7;  // too early
  BOOST_TEST(pinned[2] == 1);
  check(cudaStreamSynchronize(stream()));
  BOOST_TEST(pinned[2] == 7);
  check(cudaFreeHost(pinned));
}

BOOST_AUTO_TEST_CASE(an_event_is_reached_after_the_work_before_it) {
  const Tensor x = Tensor::zeros({3}, Dtype::f32, Device::cuda);
  float* pinned = nullptr;
  cudaEvent_t event;
  cudaStream_t other;
  check(cudaMallocHost(reinterpret_cast<void**>(&pinned), x.bytes()));
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  check(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  check(cudaEventQuery(event));  // never recorded: reached
  launch_kernel(store_at, 1, 1, 0, x.data<float>(), 1);
  check(cudaEventRecord(event, stream()));
  launch_kernel(store_at, 1, 1, 0, x.data<float>(), 2);
  check(cudaStreamWaitEvent(other, event));
  check(cudaMemcpyAsync(pinned, x.raw(), x.bytes(), cudaMemcpyDeviceToHost, other));
  check(cudaStreamSynchronize(other));
  BOOST_TEST(std::vector<float>(pinned, pinned + 3) == (std::vector<float>{0, 1, 0}), per_element());
  check(cudaEventRecord(event, stream()));
  BOOST_TEST(cudaEventQuery(event) == cudaErrorNotReady);
  while (cudaEventQuery(event) == cudaErrorNotReady) continue;
  check(cudaMemcpyAsync(pinned, x.raw(), x.bytes(), cudaMemcpyDeviceToHost, other));
  check(cudaEventRecord(event, other));
  check(cudaEventSynchronize(event));
  BOOST_TEST(std::vector<float>(pinned, pinned + 3) == (std::vector<float>{0, 1, 1}), per_element());
  check(cudaEventDestroy(event));
  check(cudaStreamDestroy(other));
  check(cudaFreeHost(pinned));
}

// -- capture

BOOST_AUTO_TEST_CASE(a_graph_repeats_what_was_captured) {
  const Tensor a = counting(4).reshape({2, 2}), once = matmul(a, a),
               product = Tensor::zeros({2, 2}, Dtype::f32, Device::cuda);
  Tensor moment = product.clone();
  const Arena arena(Device::cuda);
  const Arena::Scope scope(&arena);
  { const Tensor for_the_free_list({2, 2}, Dtype::f32, Device::cuda); }
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeGlobal));
  gemm<float>(Device::cuda, false, false, 2, 2, 2, 1, a.data<float>(), 2, a.data<float>(), 2, 1, product.data<float>(),
              2);
  moment.clone();  // the arena's memory
  add_into(moment, product);
  check(cudaStreamEndCapture(stream(), &graph));
  check(cudaGraphInstantiateWithFlags(&executable, graph, 0));
  check(cudaGraphDestroy(graph));
  BOOST_TEST(product.values() == std::vector<double>(4, 0), per_element());
  for (int launch = 0; launch < 3; ++launch) check(cudaGraphLaunch(executable, stream()));
  check(cudaGraphExecDestroy(executable));
  BOOST_TEST(product.values() == scale(once, 3).values(), per_element());
  BOOST_TEST(moment.values() == scale(once, 6).values(), per_element());
}

BOOST_AUTO_TEST_CASE(what_may_not_be_called_during_a_capture_spoils_it) {
  void *block = nullptr, *pinned = nullptr;
  cudaEvent_t event;
  check(cudaMalloc(&block, 8));
  check(cudaMallocHost(&pinned, 8));
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const std::vector<std::function<cudaError_t()>> calls{
      [] { return cudaStreamSynchronize(stream()); },
      [] {
        void* more = nullptr;
        return cudaMalloc(&more, 8);
      },
      [] {
        void* more = nullptr;
        return cudaMallocHost(&more, 8);
      },
      [&] { return cudaFree(block); },
      [&] { return cudaFreeHost(pinned); },
      [&] { return cudaEventQuery(event); },
      [&] { return cudaEventSynchronize(event); },
  };
  cudaGraph_t graph;
  for (const auto& call : calls) {
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeGlobal));
    BOOST_TEST(call() == cudaErrorStreamCaptureUnsupported);
    BOOST_TEST(cudaMemsetAsync(block, 0, 8, stream()) == cudaErrorStreamCaptureInvalidated);
    BOOST_TEST(cudaStreamEndCapture(stream(), &graph) == cudaErrorStreamCaptureInvalidated);
  }
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeGlobal));
  check(cudaEventRecord(event, stream()));
  BOOST_TEST(cudaEventQuery(event) == cudaErrorCapturedEvent);
  BOOST_TEST(message_of([] { synchronize(Device::cuda); }) ==
             "CUDA: operation not permitted when stream is capturing (cudaStreamSynchronize)");
  BOOST_TEST(cudaStreamEndCapture(stream(), &graph) == cudaErrorStreamCaptureInvalidated);
  check(cudaEventDestroy(event));
  check(cudaFree(block));
  check(cudaFreeHost(pinned));
  BOOST_TEST(cudaFree(&graph) == cudaErrorInvalidValue);
}

BOOST_AUTO_TEST_SUITE_END()
