#include <boost/test/unit_test.hpp>

#include "tests/support/support.h"

// The caching allocator of tensor/device.h.
using namespace poph;
using namespace poph::test;

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
  std::shared_ptr<std::byte> held;
  {
    const Arena arena(Device::cpu);
    {
      const Arena::Scope scope(&arena);
      within = allocate(Device::cpu, bytes).get();
      held = allocate(Device::cpu, bytes);
      BOOST_TEST(held.get() == within, "a block that came back is used again");
      const Arena::Scope none(nullptr);
      const auto block = allocate(Device::cpu, bytes);
      outside = block.get();
      BOOST_TEST(outside != within);
    }
    held.reset();  // where no scope is
    BOOST_TEST(allocate(Device::cpu, bytes).get() == outside);
    const auto other = allocate(Device::cpu, bytes), another = allocate(Device::cpu, bytes);
    for (const auto& block : {other, another}) BOOST_TEST(block.get() != within);
    const Arena::Scope scope(&arena);
    held = allocate(Device::cpu, bytes);
    BOOST_TEST(held.get() == within);
  }
  const auto reserved = memory_use(Device::cpu).reserved;
  BOOST_TEST(allocate(Device::cpu, bytes).get() != within);
  held.reset();  // the arena is gone, so its blocks are anyone's
  BOOST_TEST(allocate(Device::cpu, bytes).get() == within);
  BOOST_TEST(memory_use(Device::cpu).reserved == reserved);
}

BOOST_AUTO_TEST_CASE(asking_for_too_much_is_an_error) {
  const std::string message = message_of([] { allocate(Device::cpu, size_t{1} << 60); });
  BOOST_TEST(message.starts_with("out of memory on cpu: asked for 1152921504606846976 bytes with "));
  BOOST_TEST(allocate(Device::cpu, 100) != nullptr);
}

BOOST_AUTO_TEST_SUITE_END()
