#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/support/op_cases.h"

// The ops of tensor/ops.h, all alike: the expected values, the same bits whatever the number of threads, inputs left
// alone, and no memory from the system the second time.
namespace {

using namespace poph;
using namespace poph::test;

Tensors run_with(int count, const OpCase& op, const Tensors& inputs) {
  const Threads threads(count);
  return op.run(inputs);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(every_op)

// The limits leave room for derivatives that were found by differences.
BOOST_DATA_TEST_CASE(gives_the_expected_values, boost::unit_test::data::make(op_cases(4)), op) {
  BOOST_TEST_REQUIRE(static_cast<bool>(op.expected), op.name << " has no expected values");
  for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
    const Tensors inputs = random_inputs(op.shapes, 70, dtype), found = op.run(inputs);
    const Arrays expected = op.expected(arrays_of(inputs));
    BOOST_TEST_REQUIRE(found.size() == expected.size(), op.name);
    for (size_t i = 0; i < found.size(); ++i) {
      BOOST_TEST(found[i].shape() == expected[i].shape, op.name << ", result " << i);
      BOOST_TEST(relative_difference(found[i].values(), expected[i].values) < (dtype == Dtype::f64 ? 1e-9 : 1e-5),
                 op.name << " in " << dtype << ", result " << i);
    }
  }
}

// 331 makes results of more than 8192 elements (a loop's block), and no multiple of it.
BOOST_DATA_TEST_CASE(gives_the_same_bits_with_one_two_and_three_threads, boost::unit_test::data::make(op_cases(331)),
                     op) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensors inputs = random_inputs(op.shapes, 30, dtype), expected = run_with(1, op, inputs);
    for (int count : {2, 3}) {
      const Tensors found = run_with(count, op, inputs);
      for (size_t i = 0; i < expected.size(); ++i)
        BOOST_TEST(same_bits(found[i], expected[i]),
                   op.name << " in " << dtype << " with " << count << " threads, result " << i);
    }
  }
}

BOOST_DATA_TEST_CASE(leaves_its_inputs_alone, boost::unit_test::data::make(op_cases(5)), op) {
  const Tensors inputs = random_inputs(op.shapes, 40), before = random_inputs(op.shapes, 40);
  op.run(inputs);
  for (size_t i = 0; i < inputs.size(); ++i) BOOST_TEST(same_bits(inputs[i], before[i]), op.name << ", input " << i);
}

BOOST_AUTO_TEST_CASE(takes_no_memory_from_the_system_in_a_second_round) {
  const auto round = [] {
    for (const OpCase& op : op_cases(61)) op.run(random_inputs(op.shapes, 50, Dtype::f32));
  };
  release_cached(Device::cpu);
  const MemoryUse empty = memory_use(Device::cpu);
  round();
  const MemoryUse first = memory_use(Device::cpu);
  round();
  const MemoryUse second = memory_use(Device::cpu);
  BOOST_TEST(first.system_allocations > empty.system_allocations);
  BOOST_TEST(second.system_allocations == first.system_allocations);
  BOOST_TEST(second.reserved == first.reserved);
  BOOST_TEST(second.in_use == empty.in_use);
}

BOOST_AUTO_TEST_SUITE_END()
