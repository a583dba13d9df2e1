#include <time.h>

#include "tensor/cpu/packed_panels.h"
#include "tests/bench/model_bench.h"

// The peak rate of multiplications and additions of this machine's vector units: the floor under the time of every
// matrix product.
namespace poph {
namespace {

// Independent sums in registers, as many as the matrix kernel keeps: enough to hide an FMA's latency. Without FMA (the
// lowest level) these are multiplications and additions all the same.
struct FmaLoop {
  int64_t rounds;
  float* sink;  // what comes of it must be used, or nothing is computed

  template <class Tile>
  POPH_INLINE void run() const {
    constexpr int W = Tile::W, R = Tile::R, G = Tile::G;
    using Vector = typename Simd<W>::Vector;
    Vector sums[R][G];
    Vector factor, term;
    for (int i = 0; i < W; ++i) factor[i] = sink[0], term[i] = sink[1];
    for (int r = 0; r < R; ++r)
      for (int g = 0; g < G; ++g) sums[r][g] = term * static_cast<float>(r * G + g);
    const int64_t turns = rounds / (W * R * G);
    for (int64_t turn = 0; turn < turns; ++turn)
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) sums[r][g] = sums[r][g] * factor + term;
    Vector total = sums[0][0];
    for (int r = 0; r < R; ++r)
      for (int g = 0; g < G; ++g) total += sums[r][g];
    for (int i = 0; i < W; ++i) sink[2] += total[i];
  }
};

double thread_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// All threads together, each by its own clock: others' work on the machine takes nothing away from it.
double gigaflops_of_one_run(int64_t multiplications) {
  double sum = 0;
#pragma omp parallel reduction(+ : sum)
  {
    float sink[3] = {0.5f, 0.25f, 0};
    asm volatile("" : : "r"(sink) : "memory");
    const double start = thread_seconds();
    run_kernel(FmaLoop{multiplications, sink});
    asm volatile("" : : "r"(sink) : "memory");
    sum += 2e-9 * static_cast<double>(multiplications) / (thread_seconds() - start);
  }
  return sum;
}

}  // namespace

void measure_fma_peak() {
  double best = 0;
  for (int run = 0; run < 50; ++run) best = std::max(best, gigaflops_of_one_run(200'000'000));
  std::cout << Json{{"gflops", best}, {"threads", threads()}, {"level", cpu_kernels()}}.dump() << std::endl;
}

}  // namespace poph
