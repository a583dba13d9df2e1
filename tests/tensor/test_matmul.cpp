#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tensor/gemm.h"
#include "tensor/optimizer.h"
#include "tests/support/support.h"

// Products of matrices against three loops, at the sizes where another kernel takes over.
namespace {

using namespace poph;
using namespace poph::test;

struct Row {
  int64_t m, n, k;
};
std::ostream& operator<<(std::ostream& out, const Row& r) { return out << r.m << " x " << r.n << " over " << r.k; }

const std::vector<Row> sizes{{1, 1, 1},      {3, 7, 5},      {17, 1, 33},    {1, 29, 65},    {255, 511, 3},
                             {256, 512, 31}, {257, 513, 32}, {513, 255, 7},  {31, 1030, 9},  {770, 17, 100},
                             {5, 3, 1000},   {385, 16, 16},  {395, 94, 257}, {17, 31, 1536}, {64, 23, 1729},
                             {0, 3, 4},      {3, 0, 4},      {3, 4, 0}};

// C = alpha op(A) op(B) + beta C by the definition; a and b are stored with `lda` and `ldb` elements a row.
std::vector<double> naive(const Row& r, bool ta, bool tb, double alpha, const std::vector<double>& a, int64_t lda,
                          const std::vector<double>& b, int64_t ldb, double beta, std::vector<double> c, int64_t ldc) {
  for (int64_t i = 0; i < r.m; ++i)
    for (int64_t j = 0; j < r.n; ++j) {
      double total = 0;
      for (int64_t l = 0; l < r.k; ++l) total += a[ta ? l * lda + i : i * lda + l] * b[tb ? j * ldb + l : l * ldb + j];
      c[i * ldc + j] = alpha * total + beta * c[i * ldc + j];
    }
  return c;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(matrices)

BOOST_DATA_TEST_CASE(matmul_agrees_with_three_loops, boost::unit_test::data::make(sizes), r) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        const Tensor a = random_input(ta ? Shape{r.k, r.m} : Shape{r.m, r.k}, 1, dtype),
                     b = random_input(tb ? Shape{r.n, r.k} : Shape{r.k, r.n}, 2, dtype);
        const Tensor c = matmul(a, b, ta, tb);
        const auto expected = naive(r, ta, tb, 1, a.values(), a.shape()[1], b.values(), b.shape()[1], 0,
                                    std::vector<double>(r.m * r.n), r.n);
        BOOST_TEST(c.shape() == (Shape{r.m, r.n}));
        BOOST_TEST(relative_difference(c.values(), expected) < limit_of(dtype),
                   r << (ta ? " A'" : " A") << (tb ? " B'" : " B"));
      }
}

BOOST_AUTO_TEST_CASE(gemm_in_the_middle_of_larger_matrices) {  // rows with a gap after them, alpha and beta
  const Row r{261, 515, 37};
  const int64_t lda = 300, ldb = 600, ldc = 555;
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      const Tensor a = random_input({600, lda}, 1), b = random_input({600, ldb}, 2), c = random_input({r.m, ldc}, 3);
      const auto expected = naive(r, ta, tb, -1.5, a.values(), lda, b.values(), ldb, 0.5, c.values(), ldc);
      gemm<double>(Device::cpu, ta, tb, r.m, r.n, r.k, -1.5, a.data<double>(), lda, b.data<double>(), ldb, 0.5,
                   c.data<double>(), ldc);
      BOOST_TEST(relative_difference(c.values(), expected) < 1e-14);
    }
}

// The forms that large float32 products take on the CPU, beside gaps, added to what is there, and with other numbers of
// threads.
BOOST_AUTO_TEST_CASE(large_products_in_the_middle_of_larger_matrices) {
  struct Case {
    Row size;
    bool ta, tb;
  };
  for (const Case& one :
       {Case{{401, 47, 261}, false, false}, Case{{401, 47, 261}, false, true}, Case{{53, 35, 1601}, true, false}})
    for (float beta : {0.0f, 1.0f}) {
      const Row& r = one.size;
      const bool ta = one.ta, tb = one.tb;
      const int64_t lda = (ta ? r.m : r.k) + 3, ldb = (tb ? r.k : r.n) + 5, ldc = r.n + 7;
      const Tensor a = random_input({ta ? r.k : r.m, lda}, 1, Dtype::f32),
                   b = random_input({tb ? r.n : r.k, ldb}, 2, Dtype::f32),
                   before = random_input({r.m, ldc}, 3, Dtype::f32);
      const auto run = [&](int count) {
        const Threads threads(count);
        Tensor c = before.clone();
        gemm<float>(Device::cpu, ta, tb, r.m, r.n, r.k, 1, a.data<float>(), lda, b.data<float>(), ldb, beta,
                    c.data<float>(), ldc);
        return c;
      };
      const Tensor found = run(1);
      BOOST_TEST(relative_difference(found.values(), naive(r, ta, tb, 1, a.values(), lda, b.values(), ldb, beta,
                                                           before.values(), ldc)) < 1e-6);
      BOOST_TEST(same_bits(slice_last(found, r.n, 7), slice_last(before, r.n, 7)));
      BOOST_TEST(same_bits(run(3), found));
    }
}

BOOST_AUTO_TEST_CASE(gemm_batched_is_gemm_for_each) {
  for (int64_t count : {0, 1, 7, 8, 33})  // few are split, many are shared out
    for (const Row& r : {Row{13, 9, 5}, Row{261, 20, 7}}) {
      const int64_t a_size = r.m * r.k, b_size = r.k * r.n, c_size = r.m * r.n;
      const Tensor a = random_input({count, r.m, r.k}, 1), b = random_input({count, r.k, r.n}, 2),
                   c = random_input({count, r.m, r.n}, 3);
      std::vector<double> expected;
      for (int64_t i = 0; i < count; ++i)
        for (double value : naive(r, false, false, 2, a.slice(i, 1).values(), r.k, b.slice(i, 1).values(), r.n, 1,
                                  c.slice(i, 1).values(), r.n))
          expected.push_back(value);
      gemm_batched<double>(Device::cpu, {count, a_size, b_size, c_size}, false, false, r.m, r.n, r.k, 2,
                           a.data<double>(), r.k, b.data<double>(), r.n, 1, c.data<double>(), r.n);
      BOOST_TEST(relative_difference(c.values(), expected) < 1e-14);
    }
}

// The library's scratch memory must not be shared between threads: OpenBLAS's serial build gives wrong sums here now
// and then.
BOOST_AUTO_TEST_CASE(products_in_several_threads_at_once) {
  const int64_t count = 64;
  const Threads threads(4);
  for (int round = 0; round < 30; ++round)
    for (const Row& r : {Row{96, 3, 2}, Row{96, 64, 64}, Row{170, 64, 31}}) {
      const Tensor a = random_input({r.m, r.k}, 1), b = random_input({r.k, r.n}, 2), c({count, r.m, r.n}, Dtype::f64);
      const Tensor expected = matmul(a, b).reshape({1, r.m, r.n});
      gemm_batched<double>(Device::cpu, {count, 0, 0, r.m * r.n}, false, false, r.m, r.n, r.k, 1, a.data<double>(), r.k,
                           b.data<double>(), r.n, 0, c.data<double>(), r.n);
      for (int64_t i = 0; i < count; ++i) BOOST_TEST_REQUIRE(same_bits(c.slice(i, 1), expected));
    }
}

BOOST_AUTO_TEST_CASE(a_product_overwrites_whatever_was_there) {  // beta 0 must not spread a NaN
  release_cached(Device::cpu);
  { Tensor dirt = Tensor::full({33, 33}, std::nan(""), Dtype::f64); }
  BOOST_TEST(count_nonfinite(matmul(random_input({33, 9}, 1), random_input({9, 33}, 2))) == 0);
  { Tensor dirt = Tensor::full({33, 33}, std::nan(""), Dtype::f64); }
  BOOST_TEST(sums_of_squares({matmul(Tensor({33, 0}, Dtype::f64), Tensor({0, 33}, Dtype::f64))}).item() == 0);
}

BOOST_AUTO_TEST_SUITE_END()
