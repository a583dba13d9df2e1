#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/support.h"

// What must hold for every op alike: the same bits whatever the number of threads, and no memory from the system the second time.
namespace {

using namespace poph;
using namespace poph::test;

Tensors run_with(int count, const OpCase& op, const Tensors& inputs) {
  const Threads threads(count);
  return op.run(inputs);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(every_op)

// 331 makes results of more than 8192 elements (a loop's block), and no multiple of it.
BOOST_DATA_TEST_CASE(gives_the_same_bits_with_one_two_and_three_threads, boost::unit_test::data::make(op_cases(331)), op) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    const Tensors inputs = random_inputs(op.shapes, 30, dtype), expected = run_with(1, op, inputs);
    for (int count : {2, 3}) {
      const Tensors found = run_with(count, op, inputs);
      for (size_t i = 0; i < expected.size(); ++i)
        BOOST_TEST(same_bits(found[i], expected[i]), op.name << " in " << dtype << " with " << count << " threads, result " << i);
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

BOOST_AUTO_TEST_SUITE(allocator)

BOOST_AUTO_TEST_CASE(accounts_for_what_is_in_use) {
  const size_t mebibyte = 1 << 20;
  release_cached(Device::cpu);
  reset_peak(Device::cpu);
  const MemoryUse before = memory_use(Device::cpu);
  BOOST_TEST(before.peak == before.in_use);
  BOOST_TEST(before.reserved == before.in_use);
  {
    const auto one = allocate(Device::cpu, mebibyte), two = allocate(Device::cpu, 3 * mebibyte);
    BOOST_TEST(memory_use(Device::cpu).in_use == before.in_use + 4 * mebibyte);
  }
  const auto three = allocate(Device::cpu, mebibyte);
  const MemoryUse now = memory_use(Device::cpu);
  BOOST_TEST(now.in_use == before.in_use + mebibyte);
  BOOST_TEST(now.peak == before.in_use + 4 * mebibyte);
  BOOST_TEST(now.reserved == before.reserved + 4 * mebibyte);
  BOOST_TEST(now.system_allocations == before.system_allocations + 2);
  release_cached(Device::cpu);
  BOOST_TEST(memory_use(Device::cpu).reserved == before.reserved + mebibyte);
  reset_peak(Device::cpu);
  BOOST_TEST(memory_use(Device::cpu).peak == before.in_use + mebibyte);
}

BOOST_AUTO_TEST_CASE(blocks_are_aligned_and_little_is_wasted) {
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{511}, size_t{513}, size_t{1000},
                       size_t{4097}, size_t{123457}, size_t{9999999}}) {
    const size_t before = memory_use(Device::cpu).in_use;
    const auto block = allocate(Device::cpu, bytes);
    const size_t taken = memory_use(Device::cpu).in_use - before;
    BOOST_TEST(reinterpret_cast<uintptr_t>(block.get()) % 64 == 0);
    BOOST_TEST(taken >= bytes);
    BOOST_TEST(taken <= std::max(bytes + 64, bytes + bytes / 4));
  }
}

BOOST_AUTO_TEST_CASE(an_arena_keeps_its_blocks_apart) {
  const size_t bytes = 77 << 10;
  release_cached(Device::cpu);
  std::byte *within = nullptr, *outside = nullptr;
  std::shared_ptr<std::byte> kept;
  {
    const Arena arena(Device::cpu);
    {
      const Arena::Scope scope(&arena);
      within = allocate(Device::cpu, bytes).get();
      kept = allocate(Device::cpu, bytes);
      BOOST_TEST(kept.get() == within, "a block that came back is used again");
      const Arena::Scope none(nullptr);
      const auto block = allocate(Device::cpu, bytes);
      outside = block.get();
      BOOST_TEST(outside != within);
    }
    kept.reset();  // where no scope is
    BOOST_TEST(allocate(Device::cpu, bytes).get() == outside);
    const auto other = allocate(Device::cpu, bytes), another = allocate(Device::cpu, bytes);
    for (const auto& block : {other, another}) BOOST_TEST(block.get() != within);
    const Arena::Scope scope(&arena);
    kept = allocate(Device::cpu, bytes);
    BOOST_TEST(kept.get() == within);
  }
  const auto reserved = memory_use(Device::cpu).reserved;
  BOOST_TEST(allocate(Device::cpu, bytes).get() != within);
  kept.reset();  // the arena is gone, so its blocks are anyone's
  BOOST_TEST(allocate(Device::cpu, bytes).get() == within);
  BOOST_TEST(memory_use(Device::cpu).reserved == reserved);
}

BOOST_AUTO_TEST_CASE(asking_for_too_much_is_an_error) {
  const std::string message = message_of([] { allocate(Device::cpu, size_t{1} << 60); });
  BOOST_TEST(message.starts_with("out of memory on cpu: asked for 1152921504606846976 bytes with "));
  BOOST_TEST(allocate(Device::cpu, 100) != nullptr);
}

BOOST_AUTO_TEST_SUITE_END()
