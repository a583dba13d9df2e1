#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tensor/attention.h"
#include "tensor/cpu/packed_panels.h"
#include "tests/support/op_reference.h"
#include "tests/support/support.h"

// Attention in all its forms against plain loops and against each other, and its gradients.
namespace {

using namespace poph;
using namespace poph::test;

struct Row {
  int64_t groups, queries, keys, heads, width, visible_step;
};
std::ostream& operator<<(std::ostream& out, const Row& r) {
  return out << r.groups << " groups, " << r.queries << " queries of " << r.keys << " keys, " << r.heads << " heads of "
             << r.width << ", visible_step " << r.visible_step;
}

const std::vector<Row> small{
    {2, 7, 7, 3, 4, 0}, {2, 7, 7, 3, 4, 1},  {2, 7, 7, 1, 5, 7}, {2, 7, 7, 2, 3, 3}, {2, 7, 7, 2, 3, 100},
    {1, 1, 1, 1, 1, 0}, {3, 1, 9, 2, 3, 0},  {3, 4, 9, 2, 3, 0}, {3, 4, 9, 2, 3, 1}, {3, 4, 9, 2, 3, 3},
    {3, 4, 9, 1, 2, 2}, {11, 5, 6, 2, 2, 3}, {0, 5, 5, 2, 3, 1}, {2, 0, 5, 2, 3, 0}, {2, 0, 0, 2, 3, 1},
};
// More scores than one tile holds (4 Mi): by queries of one group, at a tile edge within a visible block, and by
// groups.
const std::vector<Row> large{
    {1, 1500, 1500, 4, 3, 0}, {1, 1500, 1500, 4, 3, 48}, {1, 1400, 1501, 4, 2, 7},
    {40, 190, 200, 4, 2, 1},  {3, 900, 900, 6, 1, 100},
};

AttentionSettings settings_of(const Row& r) {
  return {.heads = r.heads, .scale = 1 / std::sqrt(static_cast<double>(r.width)), .visible_step = r.visible_step};
}

Tensors inputs_of(const Row& r, Dtype dtype = Dtype::f64) {
  const int64_t features = r.heads * r.width;
  return random_inputs({{r.groups, r.queries, features}, {r.groups, r.keys, features}, {r.groups, r.keys, features}}, 1,
                       dtype);
}

void compare_with_naive(const Row& r, Dtype dtype) {
  const Tensors in = inputs_of(r, dtype);
  const AttentionResult found = attention(in[0], in[1], in[2], settings_of(r));
  const AttentionReference expected = attention_reference(Array(in[0]), Array(in[1]), Array(in[2]), settings_of(r));
  BOOST_TEST(found.y.shape() == in[0].shape());
  BOOST_TEST(relative_difference(found.y.values(), expected.y.values) < limit_of(dtype));
  BOOST_TEST(relative_difference(found.log_sum_exp.values(), expected.log_sum_exp.values) < limit_of(dtype));
}

double error_of(const Row& r, double dropout, int rounds) {
  AttentionSettings settings = settings_of(r);
  settings.dropout = dropout;
  settings.key = {.seed = 3, .site = 4, .step = 5};
  return gradient_error([settings](const Vars& x) { return attention(x[0], x[1], x[2], settings); }, inputs_of(r),
                        rounds);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(attention_op)

BOOST_DATA_TEST_CASE(agrees_with_a_naive_one, boost::unit_test::data::make(small), r) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) compare_with_naive(r, dtype);
}

BOOST_DATA_TEST_CASE(agrees_with_a_naive_one_in_several_tiles, boost::unit_test::data::make(large), r) {
  compare_with_naive(r, Dtype::f32);
}

BOOST_DATA_TEST_CASE(gradient, boost::unit_test::data::make(small), r) {
  for (double dropout : {0.0, 0.4}) BOOST_TEST(error_of(r, dropout, 3) < gradient_limit, "dropout " << dropout);
}

BOOST_AUTO_TEST_CASE(gradient_in_several_tiles) {
  BOOST_TEST(error_of({1, 380, 400, 32, 1, 48}, 0.2, 1) < gradient_limit);  // by queries
  BOOST_TEST(error_of({40, 120, 120, 8, 1, 5}, 0.2, 1) < gradient_limit);   // by groups
}

BOOST_AUTO_TEST_CASE(large_scores_do_not_overflow) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensors in = inputs_of({2, 5, 5, 1, 4, 0}, dtype);
    const AttentionSettings settings{.heads = 1, .scale = 1e4};
    const AttentionResult r = attention(in[0], in[1], in[2], settings);
    const AttentionGradients g = attention_grad(in[0], in[1], in[2], r, settings, in[0]);
    for (const Tensor& x : {r.y, r.log_sum_exp, g.dq, g.dk, g.dv}) BOOST_TEST(count_nonfinite(x) == 0);
  }
}

// A later key or value changes no bit of what a query that does not see it gives.
BOOST_AUTO_TEST_CASE(what_is_not_visible_has_no_influence) {
  const Row r{2, 11, 11, 2, 3, 4};
  const Tensors in = inputs_of(r);
  const Tensor before = attention(in[0], in[1], in[2], settings_of(r)).y;
  for (int64_t changed = 0; changed < r.keys; ++changed) {
    Tensors other{in[0], in[1].clone(), in[2].clone()};
    for (int which : {1, 2})
      for (int64_t i = 0; i < 6; ++i) other[which].data<double>()[changed * 6 + i] += 3;
    const Tensor after = attention(other[0], other[1], other[2], settings_of(r)).y;
    for (int64_t query = 0; query < r.queries; ++query) {
      const bool same = same_bits(before.reshape({22, 6}).slice(query, 1), after.reshape({22, 6}).slice(query, 1));
      BOOST_TEST(same == (changed / 4 > query / 4), "key " << changed << ", query " << query);
    }
  }
}

// With equal scores and the identity as values the result is the matrix of probabilities itself.
BOOST_AUTO_TEST_CASE(dropout_keeps_its_share_of_probabilities) {
  const int64_t groups = 5, length = 101;
  const auto probabilities = [&](Dtype dtype, uint32_t step, int64_t some_groups) {
    std::vector<double> identity(some_groups * length * length);
    for (int64_t i = 0; i < some_groups * length; ++i) identity[i * length + i % length] = 1;
    const Tensor zero = Tensor::zeros({some_groups, length, length}, dtype),
                 v = Tensor::from(identity, zero.shape(), dtype);
    return attention(zero, zero, v, {.dropout = 0.3, .key = {.seed = 1, .step = step}}).y.values();
  };
  const std::vector<double> found = probabilities(Dtype::f64, 0, groups), other = probabilities(Dtype::f64, 1, groups);
  const double n = static_cast<double>(found.size()), kept_value = 1 / 0.7 / length;
  double kept = 0, kept_in_both = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    BOOST_TEST_REQUIRE((found[i] == 0 || std::abs(found[i] / kept_value - 1) < 1e-14));
    kept += found[i] != 0;
    kept_in_both += found[i] != 0 && other[i] != 0;
  }
  BOOST_TEST(std::abs(kept / n - 0.7) < 5 * std::sqrt(0.21 / n));
  BOOST_TEST(std::abs(kept_in_both / n - 0.49) < 5 * std::sqrt(0.25 / n));
  // No two rows share a mask.
  for (int64_t row = 1; row < groups * length; ++row)
    BOOST_TEST_REQUIRE(!std::equal(found.begin(), found.begin() + length, found.begin() + row * length));
  // The mask does not depend on precision, nor on how many groups follow.
  const std::vector<double> single = probabilities(Dtype::f32, 0, groups), fewer = probabilities(Dtype::f64, 0, 2);
  for (size_t i = 0; i < found.size(); ++i) BOOST_TEST_REQUIRE((single[i] != 0) == (found[i] != 0));
  BOOST_TEST(std::equal(fewer.begin(), fewer.end(), found.begin()));
}

BOOST_AUTO_TEST_CASE(memory_grows_linearly) {
  const int64_t features = 8, workspace = 2 * (int64_t{4} << 20) * 4;
  for (int64_t length : {1600, 3200, 6400}) {
    release_cached(Device::cpu);
    reset_peak(Device::cpu);
    const size_t before = memory_use(Device::cpu).in_use;
    const Tensor x = random_normal({1, length, features}, {.seed = 1}, Dtype::f32, Device::cpu);
    const AttentionSettings settings{.heads = 1, .visible_step = 48};
    const AttentionResult result = attention(x, x, x, settings);
    attention_grad(x, x, x, result, settings, x);
    const int64_t peak = static_cast<int64_t>(memory_use(Device::cpu).peak - before);
    // Of two tiles of scores, x, y, three gradients and the log-sum-exp; a block is at most a quarter larger than asked
    // for.
    BOOST_TEST(peak <= (workspace + 4 * length * (5 * features + 1)) * 5 / 4,
               "length " << length << ": " << peak << " bytes");
  }
}

BOOST_AUTO_TEST_CASE(misfits_are_errors) {
  const auto made = [](Shape shape) { return Tensor(shape, Dtype::f64); };
  const auto message = [](const Tensor& q, const Tensor& k, const Tensor& v, AttentionSettings settings) {
    return message_of([&] { attention(q, k, v, settings); });
  };
  const Tensor x = made({2, 5, 6});
  BOOST_TEST(message(x, x, made({2, 4, 6}), {}) == "attention: q [2,5,6], k [2,5,6], v [2,4,6], 1 heads");
  BOOST_TEST(message(x, made({2, 4, 6}), made({2, 4, 6}), {}) == "attention: q [2,5,6], k [2,4,6], v [2,4,6], 1 heads");
  BOOST_TEST(message(x, x, x, {.heads = 4}) == "attention: q [2,5,6], k [2,5,6], v [2,5,6], 4 heads");
  BOOST_TEST(message(x, x, x, {.visible_step = -1}) == "attention: visible_step -1, expected 0 or more");
  BOOST_TEST(message(x, x, x, {.dropout = 1}) == "attention: dropout 1, expected [0, 1)");
}

// The CPU's blocked form at every level of instructions against products and softmax rows, with the same masks drawn.
BOOST_AUTO_TEST_CASE(blocks_agree_with_their_twin) {
  const std::vector<Row> rows{{3, 9, 9, 2, 5, 0},       {2, 47, 47, 3, 16, 1},   {5, 48, 48, 4, 64, 0},
                              {1, 49, 65, 1, 47, 5},    {2, 88, 88, 2, 33, 48},  {1, 130, 130, 1, 1, 0},
                              {1, 300, 300, 2, 64, 48}, {1, 61, 300, 1, 100, 7}, {2, 10, 1100, 1, 8, 0},
                              {1, 1100, 1100, 1, 12, 1}};
  for (CpuLevel level : {CpuLevel::baseline, CpuLevel::avx2, CpuLevel::avx512})
    for (const Row& r : rows)
      for (double dropout : {0.0, 0.1}) {
        limit_cpu_level(level);
        AttentionSettings settings = settings_of(r);
        settings.dropout = dropout;
        settings.key = {.seed = 3, .site = 4, .step = 5};
        const Tensors in = inputs_of(r, Dtype::f32);
        const Tensor dy = random_input(in[0].shape(), 9, Dtype::f32);
        const AttentionResult found = attention(in[0], in[1], in[2], settings),
                              expected = attention_plain(in[0], in[1], in[2], settings);
        const std::string about = joined(r, ", dropout ", dropout, ", level ", static_cast<int>(level));
        BOOST_TEST(relative_difference(found.y, expected.y) < 2e-6, about);
        BOOST_TEST(relative_difference(found.log_sum_exp, expected.log_sum_exp) < 2e-6, about);
        const AttentionGradients g = attention_grad(in[0], in[1], in[2], found, settings, dy),
                                 e = attention_grad_plain(in[0], in[1], in[2], expected, settings, dy);
        BOOST_TEST(relative_difference(g.dq, e.dq) < 5e-6, about);
        BOOST_TEST(relative_difference(g.dk, e.dk) < 5e-6, about);
        BOOST_TEST(relative_difference(g.dv, e.dv) < 5e-6, about);
        // A step that is read where it lies draws the same.
        const uint32_t step = 5;
        settings.key = {.seed = 3, .site = 4, .step = 77, .step_at = &step};
        BOOST_TEST(same_bits(attention(in[0], in[1], in[2], settings).y, found.y), about);
      }
  limit_cpu_level(CpuLevel::avx512);
}

BOOST_AUTO_TEST_CASE(blocks_do_not_depend_on_the_number_of_threads) {
  for (const Row& r : {Row{1, 700, 700, 3, 20, 48}, Row{30, 48, 48, 2, 16, 0}}) {
    AttentionSettings settings = settings_of(r);
    settings.dropout = 0.2;
    const Tensors in = inputs_of(r, Dtype::f32);
    const auto run = [&](int count) {
      const Threads threads(count);
      const AttentionResult forward = attention(in[0], in[1], in[2], settings);
      const AttentionGradients g =
          attention_grad(in[0], in[1], in[2], forward, settings, in[0].shape() == in[1].shape() ? in[1] : in[0]);
      return Tensors{forward.y, forward.log_sum_exp, g.dq, g.dk, g.dv};
    };
    const Tensors one = run(1), three = run(3);
    for (size_t i = 0; i < one.size(); ++i) BOOST_TEST(same_bits(one[i], three[i]), r << ", result " << i);
  }
}

// Twice the positions take twice the memory, not four times.
BOOST_AUTO_TEST_CASE(memory_is_linear_in_the_length) {
  const auto peak = [](int64_t positions) {
    const Tensors in = inputs_of({1, positions, positions, 2, 32, 48}, Dtype::f32);
    const AttentionSettings settings = settings_of({1, positions, positions, 2, 32, 48});
    const size_t before = memory_use(Device::cpu).in_use;
    reset_peak(Device::cpu);
    const AttentionResult forward = attention(in[0], in[1], in[2], settings);
    attention_grad(in[0], in[1], in[2], forward, settings, in[0]);
    return static_cast<double>(memory_use(Device::cpu).peak - before);
  };
  const Threads threads(2);
  const double once = peak(1536), twice = peak(3072), four_times = peak(6144);
  BOOST_TEST(twice < 2.3 * once);
  BOOST_TEST(four_times < 2.3 * twice);
}

BOOST_AUTO_TEST_SUITE_END()
