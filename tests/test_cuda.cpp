#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/support.h"

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

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda, *boost::unit_test::precondition(has_gpu))

BOOST_DATA_TEST_CASE(an_op_gives_the_numbers_of_the_cpu, boost::unit_test::data::make(op_cases(7)) + op_cases(259), op) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensors inputs = random_inputs(op.shapes, 50, dtype), expected = op.run(inputs), found = op.run(on_gpu(inputs));
    BOOST_TEST_REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i)
      BOOST_TEST(relative_difference(found[i], expected[i]) < limit_of(dtype), op.name << " in " << dtype << ", result " << i);
  }
}

BOOST_DATA_TEST_CASE(an_op_repeats_bit_for_bit, boost::unit_test::data::make(op_cases(259)), op) {
  const Tensors inputs = on_gpu(random_inputs(op.shapes, 60, Dtype::f32)), first = op.run(inputs), second = op.run(inputs);
  for (size_t i = 0; i < first.size(); ++i) BOOST_TEST(same_bits(first[i], second[i]), op.name << ", result " << i);
}

// A TF32 operand has 10 bits of fraction: off by at most 2^-11 of itself. Without the switch nothing is rounded.
BOOST_AUTO_TEST_CASE(tf32_products_only_while_they_are_asked_for) {
  const Tensor a = random_input({259, 131}, 90, Dtype::f32), b = random_input({131, 77}, 91, Dtype::f32), exact = matmul(a, b);
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

// What cuBLAS is not asked to do: sums of nothing.
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
  for (size_t i = 0; i < found.size(); ++i) BOOST_TEST(relative_difference(found[i], expected[i]) < limit_of(Dtype::f32));
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
