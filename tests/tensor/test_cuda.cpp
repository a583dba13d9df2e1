#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tensor/lstm.h"
#include "tests/support/op_cases.h"

// Every op on the GPU against the CPU, on odd sizes. Without a GPU Boost counts these cases as skipped and says why.
namespace {

using namespace poph;
using namespace poph::test;

boost::test_tools::assertion_result has_gpu(boost::unit_test::test_unit_id) {
  boost::test_tools::assertion_result result(cuda_available());
  result.message() << "no usable CUDA device";
  return result;
}

Tensors on_gpu(const Tensors& tensors) {
  Tensors there;
  for (const Tensor& tensor : tensors) there.push_back(tensor.to(Device::cuda));
  return there;
}

using In = const Tensors&;

// Sizes at which the kernels of rows and of sums take another way: part of a warp, its registers full, rows read again,
// one block, several.
void add_rows_and_sums(std::vector<OpCase>& cases) {
  for (int64_t width : {1, 31, 33, 48, 94, 256, 257, 4096}) {
    const Shape rows{5, width}, row{width};
    cases.push_back({joined("rows of ", width), {rows, rows, row, row}, [width](In x) {
                       const LayerNormResult norm = layer_norm(x[0], wide(x[2]), wide(x[3]), 1e-5);
                       const LayerNormGradients g = layer_norm_grad(norm, wide(x[2]), x[1]);
                       const Tensor y = softmax(x[0]);
                       const MinResult smallest = min_last(concat_last({x[0], x[0]}));  // the first of equals
                       return Tensors{y,
                                      softmax_grad(y, x[1]),
                                      norm.y,
                                      norm.normalised,
                                      norm.inverse_deviation,
                                      g.dx,
                                      g.dweight,
                                      g.dbias,
                                      smallest.value,
                                      min_last_grad(smallest.index, smallest.value, 2 * width)};
                     }});
  }
  for (const auto& [rows, columns] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {1000, 1}, {40000, 1}, {700, 3}, {2100, 33}, {600, 94}})
    cases.push_back(
        {joined("sums of ", rows, " rows of ", columns), {{rows, columns}}, [rows = rows, columns = columns](In x) {
           return Tensors{sum_to(x[0], {columns}), sum(x[0]), sum_to(x[0], {rows, 1})};
         }});
  cases.push_back({"sums over outer axes", {{3, 7, 33}}, [](In x) {
                     return Tensors{sum_to(x[0], {1, 7, 1}), sum_to(x[0], {3, 1, 33})};
                   }});
}

struct AttentionCase {
  int64_t groups, queries, keys, heads, width, visible_step;
  double dropout;
};

void add_attention(std::vector<OpCase>& cases) {
  const std::vector<AttentionCase> sizes{
      {3, 48, 48, 4, 64, 0, 0},    {2, 88, 88, 2, 47, 0, 0.1},  {2, 88, 88, 1, 64, 1, 0},
      {2, 1, 1, 2, 5, 0, 0},       {2, 1, 97, 2, 1, 48, 0.1},   {2, 31, 33, 3, 48, 1, 0.1},
      {1, 210, 250, 1, 64, 48, 0}, {1, 210, 250, 2, 5, 7, 0.1}, {1, 65, 65, 1, 128, 48, 0.1},
      {1, 40, 94, 2, 100, 0, 0},   {2, 5, 7, 1, 129, 2, 0.1},   {2, 0, 5, 2, 3, 0, 0},
      {0, 5, 5, 2, 3, 1, 0},
  };
  for (const AttentionCase& a : sizes) {
    const Shape q{a.groups, a.queries, a.heads * a.width}, k{a.groups, a.keys, a.heads * a.width};
    const AttentionSettings settings{.heads = a.heads,
                                     .scale = 1 / std::sqrt(static_cast<double>(a.width)),
                                     .visible_step = a.visible_step,
                                     .dropout = a.dropout,
                                     .key = {.seed = 7, .site = 3, .step = 11}};
    cases.push_back({joined("attention of ", a.queries, " to ", a.keys, ", ", a.heads, " heads of ", a.width,
                            ", visible_step ", a.visible_step, ", dropout ", a.dropout),
                     {q, k, k, q},
                     [settings](In x) {
                       const AttentionResult r = attention(x[0], x[1], x[2], settings);
                       const AttentionGradients g = attention_grad(x[0], x[1], x[2], r, settings, x[3]);
                       return Tensors{r.y, r.log_sum_exp, g.dq, g.dk, g.dv};
                     }});
  }
}

void add_lstms(std::vector<OpCase>& cases) {
  for (int64_t units :
       // less than a warp has, odd, a thread has several, not a multiple of them, more than a block has
       {1, 7, 48, 250, 600})
    for (const Shape& x : {Shape{3, 2, 5, 2}, Shape{1, 1, 1, 2}, Shape{2, 13, 1, 2}})
      for (SequenceAxis axis : {SequenceAxis::time, SequenceAxis::notes}) {
        if (units > 250 && x[0] != (axis == SequenceAxis::time ? 2 : 1)) continue;  // one shape an axis: it is slow
        const int64_t rows = axis == SequenceAxis::time ? x[1] * x[2] : x[0] * x[1];
        cases.push_back(
            {joined("lstm of ", x, " along ", axis == SequenceAxis::time ? "time" : "notes", " to ", units),
             {x, {4 * units, 2}, {4 * units, units}, {4 * units}, {rows, units}, {rows, units}},
             [axis, units](In in) {
               const Tensor recurrent = scale(in[2], 1 / std::sqrt(static_cast<double>(units)));
               const LstmState start{in[4], wide(in[5])};
               const LstmResult carried = lstm_stepwise(in[0], in[1], recurrent, wide(in[3]), axis, {start, {}});
               const LstmResult r = lstm_stepwise(in[0], in[1], recurrent, wide(in[3]), axis);
               const Tensor dh = tanh(r.h);
               const LstmGradients g = lstm_grad_stepwise(in[0], in[1], recurrent, r, axis, dh);
               return Tensors{carried.h, carried.c, carried.gates, r.h, g.dx, g.dweight_ih, g.dweight_hh, g.dbias};
             }});
      }
}

std::vector<OpCase> kernel_cases() {
  std::vector<OpCase> cases;
  add_rows_and_sums(cases);
  add_attention(cases);
  add_lstms(cases);
  return cases;
}

// The numbers of the CPU, and the same bits when it runs again.
void compare_with_cpu(const OpCase& op) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensors inputs = random_inputs(op.shapes, 50, dtype), expected = op.run(inputs),
                  found = op.run(on_gpu(inputs));
    BOOST_TEST_REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i)
      BOOST_TEST(relative_difference(found[i], expected[i]) < limit_of(dtype),
                 op.name << " in " << dtype << ", result " << i);
    if (dtype == Dtype::f64) continue;
    const Tensors again = op.run(on_gpu(inputs));
    for (size_t i = 0; i < found.size(); ++i)
      BOOST_TEST(same_bits(found[i], again[i]), op.name << " in " << dtype << ", result " << i << " again");
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda, *boost::unit_test::precondition(has_gpu))

// Larger layers are in kernel_cases.
BOOST_DATA_TEST_CASE(an_op_gives_the_numbers_of_the_cpu, boost::unit_test::data::make(op_cases(7)) + op_cases(259, 37),
                     op) {
  compare_with_cpu(op);
}

// A kernel's plain twin is the CPU's form of its op.
BOOST_DATA_TEST_CASE(a_kernel_gives_the_numbers_of_its_twin, boost::unit_test::data::make(kernel_cases()), op) {
  compare_with_cpu(op);
}

BOOST_AUTO_TEST_CASE(large_scores_do_not_overflow) {
  const Tensors in = on_gpu(random_inputs({{2, 50, 4}, {2, 50, 4}, {2, 50, 4}}, 1, Dtype::f32));
  const AttentionSettings settings{.heads = 1, .scale = 1e4, .visible_step = 3};
  const AttentionResult r = attention(in[0], in[1], in[2], settings);
  const AttentionGradients g = attention_grad(in[0], in[1], in[2], r, settings, in[0]);
  for (const Tensor& x : {r.y, r.log_sum_exp, g.dq, g.dk, g.dv}) BOOST_TEST(count_nonfinite(x) == 0);
}

// A TF32 operand has 10 bits of fraction: off by at most 2^-11 of itself. Without the switch nothing is rounded.
BOOST_AUTO_TEST_CASE(tf32_products_only_while_they_are_asked_for) {
  const Tensor a = random_input({259, 131}, 90, Dtype::f32), b = random_input({131, 77}, 91, Dtype::f32),
               exact = matmul(a, b);
  const Tensor a_there = a.to(Device::cuda), b_there = b.to(Device::cuda);
  {
    const Tf32Products tf32(true);
    const double difference = relative_difference(matmul(a_there, b_there), exact);
    BOOST_TEST(difference > 1e-5);
    BOOST_TEST(difference < 1e-3);
    const Tf32Products off(false);
    BOOST_TEST(relative_difference(matmul(a_there, b_there), exact) < limit_of(Dtype::f32));
  }
  BOOST_TEST(relative_difference(matmul(a_there, b_there), exact) < limit_of(Dtype::f32));
}

// Sums of nothing, which cuBLAS refuses.
BOOST_AUTO_TEST_CASE(products_of_empty_matrices) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensor c = matmul(Tensor({3, 0}, dtype, Device::cuda), Tensor({0, 4}, dtype, Device::cuda));
    BOOST_TEST(c.values() == std::vector<double>(12, 0.0), boost::test_tools::per_element());
    BOOST_TEST(matmul(Tensor({0, 5}, dtype, Device::cuda), Tensor({5, 4}, dtype, Device::cuda)).elements() == 0);
  }
}

BOOST_AUTO_TEST_CASE(the_same_random_bits_on_both_devices) {
  const RandomKey key{.seed = 99, .site = 5, .step = 6};
  const Tensor ones = Tensor::full({1001}, 1, Dtype::f32);
  BOOST_TEST(same_bits(dropout(ones.to(Device::cuda), 0.5, key), dropout(ones, 0.5, key)));
  BOOST_TEST(same_bits(random_uniform({1001}, 0, 1, key, Dtype::f32, Device::cuda),
                       random_uniform({1001}, 0, 1, key, Dtype::f32, Device::cpu)));
}

BOOST_AUTO_TEST_CASE(views_and_copies) {
  const Tensor x = random_input({9, 5}, 1, Dtype::f32), there = x.to(Device::cuda);
  BOOST_TEST(same_bits(there.slice(3, 4), x.slice(3, 4)));
  BOOST_TEST(same_bits(add(there.slice(3, 4), there.slice(0, 4)), add(x.slice(3, 4), x.slice(0, 4))));
  BOOST_TEST(same_bits(there.clone().to(Device::cpu), x));
  BOOST_TEST(message_of([&] { add(x, there); }) == "add: f32 on cpu and f32 on cuda");
}

BOOST_AUTO_TEST_CASE(backward_gives_the_gradients_of_the_cpu) {
  const Tensors inputs = random_inputs({{4, 3, 5, 6}, {28, 6}, {28, 7}, {28}}, 70, Dtype::f32);
  const auto gradients = [&](Device device) {
    Vars leaves;
    for (const Tensor& input : inputs) leaves.emplace_back(input.to(device), true);
    backward(mean(square(lstm(leaves[0], leaves[1], leaves[2], leaves[3], SequenceAxis::notes))));
    Tensors result;
    for (const Var& leaf : leaves) result.push_back(leaf.gradient());
    return result;
  };
  const Tensors expected = gradients(Device::cpu), found = gradients(Device::cuda);
  for (size_t i = 0; i < found.size(); ++i)
    BOOST_TEST(relative_difference(found[i], expected[i]) < limit_of(Dtype::f32));
}

BOOST_AUTO_TEST_CASE(a_second_round_takes_no_memory_from_the_system) {
  const auto round = [] {
    for (const OpCase& op : op_cases(37)) op.run(on_gpu(random_inputs(op.shapes, 80, Dtype::f32)));
  };
  round();
  const MemoryUse before = memory_use(Device::cuda);
  round();
  BOOST_TEST(memory_use(Device::cuda).system_allocations == before.system_allocations);
  BOOST_TEST(memory_use(Device::cuda).in_use == before.in_use);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(without_a_gpu_the_device_is_refused) {
  if (!cuda_available())
    BOOST_TEST(message_of([] { Tensor({2}, Dtype::f32, Device::cuda); }) == "allocate: no usable CUDA device");
}
