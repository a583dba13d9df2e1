#include <bit>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tensor/optimizer.h"
#include "tests/support/op_cases.h"

// The type bf16 bit by bit, every op on it against float32, and passes in bf16 beside float32 parameters.
namespace {

using namespace poph;
using namespace poph::test;

constexpr float infinity = std::numeric_limits<float>::infinity();

bf16 of_bits(uint32_t bits) {
  bf16 x;
  x.bits = static_cast<uint16_t>(bits);
  return x;
}
float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
uint16_t rounded(float x) { return bf16(x).bits; }

// A pattern's value by the definition of the format: sign, 8 bits of exponent, 7 of fraction.
double value_of(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 7 & 0xff), fraction = static_cast<int>(bits & 0x7f);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 0xff) return fraction ? std::nan("") : sign * infinity;
  return sign * (exponent ? std::ldexp(128 + fraction, exponent - 127 - 7) : std::ldexp(fraction, -126 - 7));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bf16_storage)

BOOST_AUTO_TEST_CASE(every_pattern_is_a_float_and_comes_back) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = of_bits(bits);
    const double expected = value_of(bits);
    BOOST_TEST_REQUIRE(
        (std::isnan(expected) ? std::isnan(value) : value == expected && std::signbit(value) == bits >> 15), bits);
    const bool signalling = std::isnan(expected) && !(bits & 0x40);
    BOOST_TEST_REQUIRE(rounded(value) == (signalling ? bits | 0x40 : bits), bits);
  }
}

// Between two neighbours: below the middle to the lower, above it to the upper, in the middle to the even one.
BOOST_AUTO_TEST_CASE(every_float_goes_to_the_nearest_and_ties_to_even) {
  for (uint32_t sign : {0u, 0x8000u})
    for (uint32_t low = 0; low < 0x7f80; ++low) {
      const uint32_t bits = sign | low, next = bits + 1, even = bits & 1 ? next : bits;
      BOOST_TEST_REQUIRE(rounded(float_of_bits(bits << 16 | 0x7fff)) == bits);
      BOOST_TEST_REQUIRE(rounded(float_of_bits(bits << 16 | 0x8000)) == even);
      BOOST_TEST_REQUIRE(rounded(float_of_bits(bits << 16 | 0x8001)) == next);
      BOOST_TEST_REQUIRE(rounded(float_of_bits(bits << 16 | 0xffff)) == next);
    }
  BOOST_TEST(rounded(std::numeric_limits<float>::max()) == 0x7f80);  // next to the largest is the infinite
  BOOST_TEST(rounded(std::numeric_limits<float>::denorm_min()) == 0);
  BOOST_TEST(rounded(-std::numeric_limits<float>::denorm_min()) == 0x8000);
}

BOOST_AUTO_TEST_CASE(no_nan_is_lost) {
  for (uint32_t fraction = 1; fraction < 1u << 23; fraction += fraction < 0x20000 ? 1 : 4097)
    for (uint32_t sign : {0u, 0x80000000u}) {
      const uint16_t bits = rounded(float_of_bits(sign | 0x7f800000u | fraction));
      BOOST_TEST_REQUIRE(((bits & 0x7fff) > 0x7f80 && bits >> 15 == sign >> 31), fraction);
    }
  BOOST_TEST(rounded(infinity) == 0x7f80);
  BOOST_TEST(rounded(-infinity) == 0xff80);
}

// The loops of `convert` are compiled with -ffast-math, and vectorised.
BOOST_AUTO_TEST_CASE(tensors_convert_as_numbers_do) {
  Tensor all({65536}, Dtype::bf16), between({65536}, Dtype::f32);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    all.data<bf16>()[bits].bits = static_cast<uint16_t>(bits);
    between.data<float>()[bits] = float_of_bits(bits << 16 | (bits * 40503u >> 3 & 0xffff));
  }
  const Tensor floats = all.to(Dtype::f32), back = floats.to(Dtype::bf16), nearest = between.to(Dtype::bf16);
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    BOOST_TEST_REQUIRE(std::bit_cast<uint32_t>(floats.data<float>()[bits]) == bits << 16);
    BOOST_TEST_REQUIRE(back.data<bf16>()[bits].bits == rounded(of_bits(bits)));
    BOOST_TEST_REQUIRE(nearest.data<bf16>()[bits].bits == rounded(between.data<float>()[bits]));
  }
  const Tensor doubles = Tensor::from({1.0 / 3, -2.5, 0, 1e300}, {4}, Dtype::f64);
  BOOST_TEST(doubles.to(Dtype::bf16).values() == (std::vector<double>{0.333984375, -2.5, 0, infinity}),
             boost::test_tools::per_element());
  BOOST_TEST(doubles.slice(0, 3).to(Dtype::bf16).to(Dtype::f64).values() == (std::vector<double>{0.333984375, -2.5, 0}),
             boost::test_tools::per_element());
  BOOST_TEST(count_nonfinite(all) == 2 * 128);
  BOOST_TEST(all.bytes() == 2u * 65536);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(bf16_ops)

// Against float32 on the same numbers. A rounding is off by 2^-9 = 0.002 at most; results of several roundings, and
// above all the gradients through an LSTM's steps, by more. 7 is odd and small; 61 is no multiple of a vector.
BOOST_DATA_TEST_CASE(an_op_gives_float32s_numbers, boost::unit_test::data::make(op_cases(7)) + op_cases(61), op) {
  const Tensors inputs = random_inputs(op.shapes, 50, Dtype::bf16);
  Tensors wide;
  for (const Tensor& input : inputs) wide.push_back(input.to(Dtype::f32));
  const Tensors found = op.run(inputs), expected = op.run(wide);
  BOOST_TEST_REQUIRE(found.size() == expected.size());
  const bool rounds_often = op.name.starts_with("lstm_grad") || op.name.ends_with(", gradient");
  const double limit = rounds_often ? limit_of(Dtype::bf16) : 4e-3;
  for (size_t i = 0; i < found.size(); ++i)
    BOOST_TEST(relative_difference(found[i], expected[i]) < limit, op.name << ", result " << i);
}

// Sums are float32 from the first term to the result: as near to the same op on float32 as two float32 sums are to each
// other.
BOOST_AUTO_TEST_CASE(what_is_wide_is_never_rounded) {
  const auto near = [](const Tensor& found, const Tensor& expected) {
    BOOST_TEST((found.dtype() == Dtype::f32));
    BOOST_TEST(relative_difference(found, expected) < 2e-6);
  };
  const auto made = [](Shape shape, uint32_t site) { return random_input(shape, site, Dtype::bf16); };
  const auto wide = [](const Tensor& x) { return x.to(Dtype::f32); };
  const Tensor x = made({7, 3, 11, 20}, 1), weight_ih = made({36, 20}, 2), weight_hh = made({36, 9}, 3);
  const Tensor bias = random_input({36}, 4, Dtype::f32), gain = random_input({20}, 5, Dtype::f32);

  near(sum(x), sum(wide(x)));
  near(sum_to(x, {20}), sum_to(wide(x), {20}));
  near(sum_to(x, {7, 1, 1, 20}), sum_to(wide(x), {7, 1, 1, 20}));
  near(sum_to(x, x.shape()), wide(x));
  const Tensor many = Tensor::full({70000}, 1, Dtype::bf16);  // a bf16 sum of ones would end at 256
  BOOST_TEST(sum(many).item() == 70000);
  near(linear(x, weight_ih, bias, true), linear(wide(x), wide(weight_ih), bias));
  const Tensor long_rows = made({2500, 13}, 6), others = made({2500, 5}, 7);  // more than one part of k
  near(matmul(long_rows, others, true, false, true), matmul(wide(long_rows), wide(others), true, false));

  const LayerNormResult norm = layer_norm(x, gain, gain, 1e-5), wide_norm = layer_norm(wide(x), gain, gain, 1e-5);
  near(norm.inverse_deviation, wide_norm.inverse_deviation);
  const LayerNormGradients dnorm = layer_norm_grad(norm, gain, x);
  near(dnorm.dbias, sum_to(wide(x), {20}));
  near(dnorm.dweight, sum_to(mul(wide(x), wide(norm.normalised)), {20}));

  for (SequenceAxis axis : {SequenceAxis::time, SequenceAxis::notes}) {
    const LstmResult found = lstm(x, weight_ih, weight_hh, bias, axis),
                     expected = lstm(wide(x), wide(weight_ih), wide(weight_hh), bias, axis);
    const bool along_time = axis == SequenceAxis::time;  // the cells of the first step have seen no h
    const auto first = [&](const Tensor& c) {
      return along_time ? c.slice(0, 1) : permute(c, {2, 0, 1, 3}).slice(0, 1);
    };
    near(first(found.c), first(expected.c));
    LstmResult again = found;
    again.gates = found.gates.clone();
    const LstmGradients g = lstm_grad(x, weight_ih, weight_hh, again, axis, made(found.h.shape(), 8));
    // The gates now hold their own gradients, from which float32 would give these.
    const auto rows = [&](const Tensor& t) { return wide(t).reshape({t.shape().rows(), t.shape().last()}); };
    near(g.dweight_ih, matmul(rows(again.gates), rows(x), true, false));
    const Tensor before = along_time ? shift(found.h, 0, 1) : shift(found.h, 2, 1);
    near(g.dweight_hh, matmul(rows(again.gates), rows(before), true, false));
    near(g.dbias, sum_to(rows(again.gates), {36}));
  }

  const Tensor q = made({4, 9, 6}, 9), k = made({4, 9, 6}, 10);
  const AttentionSettings settings{.heads = 2, .scale = 0.5, .visible_step = 1};
  near(attention(q, k, k, settings).log_sum_exp, attention(wide(q), wide(k), wide(k), settings).log_sum_exp);
}

BOOST_AUTO_TEST_CASE(dropout_takes_the_same_elements) {
  const RandomKey key{.seed = 5, .site = 2, .step = 9};
  const Tensor ones = Tensor::full({1003}, 1, Dtype::f32);
  for (double probability : {0.2, 0.5})
    BOOST_TEST(
        same_bits(dropout(ones.to(Dtype::bf16), probability, key), dropout(ones, probability, key).to(Dtype::bf16)));
}

// Float32 parameters beside bf16 have float32 gradients, and gradients of activations are bf16.
BOOST_AUTO_TEST_CASE(every_gradient_has_the_dtype_of_its_variable) {
  const Var x(random_input({3, 2, 5, 6}, 1, Dtype::bf16), true);
  Vars parameters;
  for (const Shape& shape : {Shape{28, 6}, Shape{28, 7}, Shape{28}, Shape{7}, Shape{7}, Shape{4, 7}, Shape{4}})
    parameters.emplace_back(random_input(shape, 2, Dtype::f32), true);
  const Vars& p = parameters;
  const Var h = lstm(x, p[0], p[1], p[2], SequenceAxis::time),
            y = linear(layer_norm(h, p[3], p[4], 1e-5), p[5], p[6], true);
  BOOST_TEST((h.value().dtype() == Dtype::bf16 && y.value().dtype() == Dtype::f32));
  backward(mean(square(y)));
  BOOST_TEST((x.gradient().dtype() == Dtype::bf16));
  for (const Var& parameter : parameters) BOOST_TEST((parameter.gradient().dtype() == Dtype::f32));
}

// .. and a layer's are those that float32 products give of the bf16 numbers.
BOOST_AUTO_TEST_CASE(gradients_of_a_linear_layer) {
  const Tensor x = random_input({50, 6}, 1, Dtype::bf16), dy = random_input({50, 4}, 2, Dtype::bf16);
  const Var input(x, true), weight(random_input({4, 6}, 3, Dtype::f32), true),
      bias(random_input({4}, 4, Dtype::f32), true);
  backward(sum(mul(linear(input, weight, bias), Var(dy))));
  const Tensor wide_x = x.to(Dtype::f32), wide_dy = dy.to(Dtype::f32), rounded_weight = weight.value().to(Dtype::bf16);
  BOOST_TEST(relative_difference(weight.gradient(), matmul(wide_dy, wide_x, true, false)) < 2e-6);
  BOOST_TEST(relative_difference(bias.gradient(), sum_to(wide_dy, {4})) < 2e-6);
  BOOST_TEST(same_bits(input.gradient(), matmul(wide_dy, rounded_weight.to(Dtype::f32)).to(Dtype::bf16)));
}

BOOST_AUTO_TEST_CASE(parameters_are_never_bf16) {
  Tensor x = random_input({3}, 1, Dtype::bf16);
  BOOST_TEST(message_of([&] { sgd_update(x, x, OptimizerStep{}.on(Device::cpu)); }) ==
             "expected f32 or f64, found bf16");
  BOOST_TEST(message_of([&] { add_bias(x, x); }) == "add_bias: x bf16 [3], bias bf16 [3]");
  const Tensor four = random_input({1, 1, 3, 2}, 1, Dtype::bf16), weight = random_input({4, 2}, 1, Dtype::bf16);
  BOOST_TEST(message_of([&] {
               lstm(four, weight, weight.slice(0, 4).reshape({8, 1}).slice(0, 4), weight.reshape({8}).slice(0, 4),
                    SequenceAxis::time);
             }) == "lstm: input bf16, weights bf16 bf16 bf16");
}

BOOST_AUTO_TEST_CASE(tf32_is_a_switch_that_falls_back) {
  BOOST_TEST(!Tf32Products::allowed());
  {
    const Tf32Products on(true);
    BOOST_TEST(Tf32Products::allowed());
    {
      const Tf32Products off(false);
      BOOST_TEST(!Tf32Products::allowed());
    }
    BOOST_TEST(Tf32Products::allowed());
  }
  BOOST_TEST(!Tf32Products::allowed());
}

BOOST_AUTO_TEST_SUITE_END()
