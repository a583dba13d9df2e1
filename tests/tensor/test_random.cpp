#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/support/support.h"

// Philox against its published numbers, and the random ops made from it.
using namespace poph;
using namespace poph::test;

BOOST_AUTO_TEST_SUITE(random_numbers)

// From Random123's kat_vectors, philox4x32 with 10 rounds.
BOOST_AUTO_TEST_CASE(philox_gives_its_published_answers) {
  struct Row {
    uint32_t key0, key1;
    Philox4 counter, answer;
  };
  for (const Row& row : {
           Row{0, 0, {{0, 0, 0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
           Row{~0u, ~0u, {{~0u, ~0u, ~0u, ~0u}}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
           Row{0xa4093822,
               0x299f31d0,
               {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
               {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
       }) {
    const Philox4 found = philox(row.key0, row.key1, row.counter);
    BOOST_TEST(found.word == row.answer.word, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(a_key_is_the_seed_and_a_counter_of_element_site_step_use) {
  const RandomKey key{.seed = 0x123456789abcdef0, .site = 5, .step = 6, .use = RandomUse::sampling};
  const Philox4 expected = philox(0x9abcdef0, 0x12345678, {{25, 5, 6, 2}});
  for (int lane = 0; lane < 4; ++lane) BOOST_TEST(key.bits(100 + lane) == expected.word[lane]);
  // Elements beyond 2^34 do not come back to the first ones.
  BOOST_TEST(key.bits(uint64_t{1} << 34) != key.bits(0));
  BOOST_TEST(uniform_from_bits(0) == 0.0f);
  BOOST_TEST(uniform_from_bits(~0u) < 1.0f);
}

BOOST_AUTO_TEST_CASE(moments) {
  const int64_t n = 400003;
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    double mean = 0, square = 0, fourth = 0, smallest = 9, largest = -9;
    for (double x : random_normal({n}, {.seed = 1}, dtype, Device::cpu).values()) {
      mean += x / n;
      square += x * x / n;
      fourth += x * x * x * x / n;
    }
    BOOST_TEST(std::abs(mean) < 5 / std::sqrt(n));  // five standard errors each
    BOOST_TEST(std::abs(square - 1) < 5 * std::sqrt(2.0 / n));
    BOOST_TEST(std::abs(fourth - 3) < 5 * std::sqrt(96.0 / n));
    mean = square = 0;
    for (double x : random_uniform({n}, -2, 4, {.seed = 1}, dtype, Device::cpu).values()) {
      mean += x / n;
      square += (x - 1) * (x - 1) / n;
      smallest = std::min(smallest, x);
      largest = std::max(largest, x);
    }
    BOOST_TEST(std::abs(mean - 1) < 5 * std::sqrt(3.0 / n));
    BOOST_TEST(std::abs(square - 3) < 5 * std::sqrt(7.2 / n));
    BOOST_TEST((smallest >= -2 && smallest < -1.999 && largest < 4 && largest > 3.999));
  }
}

BOOST_AUTO_TEST_CASE(normal_of_the_smallest_uniform_is_finite) {
  // its first word is below 256, so the first uniform is 0 and its logarithm's argument 1
  const RandomKey key{.seed = 3313741};
  BOOST_TEST_REQUIRE(uniform_from_bits(key.bits(0)) == 0.0f);
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
    const Tensor x = random_normal({64}, key, dtype, Device::cpu);
    BOOST_TEST(count_nonfinite(x) == 0);
    BOOST_TEST(x.values()[0] == 0.0);
  }
}

BOOST_AUTO_TEST_CASE(numbers_depend_on_every_part_of_the_key_and_only_on_it) {
  const auto numbers = [](RandomKey key, int64_t n = 1000) {
    return random_uniform({n}, 0, 1, key, Dtype::f32, Device::cpu).values();
  };
  const RandomKey key{.seed = 3, .site = 4, .step = 5};
  const std::vector<double> first = numbers(key);
  BOOST_TEST(first == numbers(key), boost::test_tools::per_element());
  for (const RandomKey& other :
       {RandomKey{.seed = 4, .site = 4, .step = 5}, RandomKey{.seed = 3 + (uint64_t{1} << 32), .site = 4, .step = 5},
        RandomKey{.seed = 3, .site = 5, .step = 5}, RandomKey{.seed = 3, .site = 4, .step = 6},
        RandomKey{.seed = 3, .site = 4, .step = 5, .use = RandomUse::sampling}}) {
    const std::vector<double> second = numbers(other);
    double covariance = 0;
    for (size_t i = 0; i < first.size(); ++i) covariance += (first[i] - 0.5) * (second[i] - 0.5);
    BOOST_TEST(std::abs(covariance) < 5.0 / 12 * std::sqrt(1000.0));
  }
  // A longer tensor begins with the numbers of a shorter one, whatever the length is modulo 4.
  for (int64_t n : {1, 2, 3, 4, 5, 998, 999}) {
    const std::vector<double> prefix(first.begin(), first.begin() + n);
    BOOST_TEST(numbers(key, n) == prefix, boost::test_tools::per_element());
  }
}

// A step that is read when the numbers are drawn gives the numbers of the same step as a value, in every op that draws.
BOOST_AUTO_TEST_CASE(a_step_may_lie_in_memory) {
  uint32_t step = 4;
  const RandomKey there{.seed = 3, .site = 4, .step = 99, .step_at = &step};
  const Tensor x = random_input({5, 7, 6}, 1, Dtype::f32);
  const auto draw = [&](const RandomKey& key) {
    return Tensors{dropout(x, 0.3, key), random_uniform({1001}, 0, 1, key, Dtype::f32, Device::cpu),
                   random_normal({1001}, key, Dtype::f64, Device::cpu),
                   attention(x, x, x, {.heads = 2, .visible_step = 3, .dropout = 0.4, .key = key}).y};
  };
  for (step = 4; step < 7; ++step) {
    const Tensors found = draw(there), expected = draw({.seed = 3, .site = 4, .step = step}),
                  other = draw({.seed = 3, .site = 4, .step = 99});
    for (size_t i = 0; i < found.size(); ++i) {
      BOOST_TEST(same_bits(found[i], expected[i]), "step " << step << ", result " << i);
      BOOST_TEST(!same_bits(found[i], other[i]), "step " << step << ", result " << i);
    }
  }
}

BOOST_AUTO_TEST_CASE(dropout_keeps_its_share_and_scales_what_it_keeps) {
  const int64_t n = 100003;
  const Tensor ones = Tensor::full({n}, 1, Dtype::f64);
  for (double probability : {0.1, 0.2, 0.5, 0.9}) {
    double kept = 0;
    for (double y : dropout(ones, probability, {.seed = 8}).values()) {
      BOOST_TEST_REQUIRE((y == 0 || y == 1 / (1 - probability)));
      kept += y != 0;
    }
    BOOST_TEST(std::abs(kept / n - (1 - probability)) < 5 * std::sqrt(probability * (1 - probability) / n));
  }
  BOOST_TEST(same_bits(dropout(ones, 0, {}), ones));
  BOOST_TEST(message_of([&] { dropout(ones, 1, {}); }) == "dropout: probability 1, expected [0, 1)");
  BOOST_TEST(message_of([&] { dropout(ones, -0.5, {}); }) == "dropout: probability -0.5, expected [0, 1)");
}

BOOST_AUTO_TEST_CASE(a_dropout_mask_depends_on_key_and_element_only) {
  const int64_t n = 50007;
  const RandomKey key{.seed = 77, .site = 2, .step = 9};
  const auto mask = [&](const Tensor& x) {
    std::vector<bool> kept;
    for (double y : dropout(x, 0.3, key).values()) kept.push_back(y != 0);
    return kept;
  };
  const Tensor ones = Tensor::full({n}, 1, Dtype::f32);
  const std::vector<bool> expected = mask(ones);
  for (int64_t i = 0; i < n; ++i) BOOST_TEST_REQUIRE(expected[i] == (key.bits(i) >= drop_threshold(0.3)));
  BOOST_TEST((mask(Tensor::full({n}, -3, Dtype::f64)) == expected));
  BOOST_TEST((mask(ones.reshape({3, n / 3})) == expected));
  for (int count : {1, 2, 3}) {
    const Threads threads(count);
    BOOST_TEST((mask(ones) == expected));
  }
  // A batch's first windows keep their mask when the batch is longer; every remainder of 4 has a tail of its own.
  for (int64_t first : {1, 2, 3, 4, 5, 6, 7, 1001, 1002, 1003, 4095, 8191}) {
    const std::vector<bool> prefix(expected.begin(), expected.begin() + first);
    BOOST_TEST((mask(ones.slice(0, first)) == prefix));
  }
}

BOOST_AUTO_TEST_SUITE_END()
