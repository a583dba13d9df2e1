#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tensor/lstm.h"
#include "tests/support/op_reference.h"
#include "tests/support/support.h"

// The LSTM in its packed and its stepwise form against plain loops and against each other, and its gradients.
namespace {

using namespace poph;
using namespace poph::test;

struct Row {
  int64_t steps, batch, notes, inputs, units;  // x is [steps, batch, notes, inputs]
};
std::ostream& operator<<(std::ostream& out, const Row& r) {
  return out << '[' << r.steps << ',' << r.batch << ',' << r.notes << ',' << r.inputs << "] to " << r.units;
}

const std::vector<Row> sizes{
    {5, 3, 7, 4, 6},    {1, 2, 3, 4, 5},  {4, 2, 1, 3, 5},   {6, 1, 5, 3, 4},     {1, 1, 1, 1, 1},
    {7, 1, 1, 2, 13},   {3, 12, 8, 5, 9}, {3, 97, 1, 3, 17}, {2, 20, 10, 31, 16}, {97, 1, 3, 2, 8},
    {13, 9, 5, 17, 33}, {0, 2, 3, 4, 5},  {3, 0, 2, 4, 5},   {2, 3, 0, 4, 5},
};
const std::vector<SequenceAxis> axes{SequenceAxis::time, SequenceAxis::notes};

int64_t rows_of(const Row& r, SequenceAxis axis) {
  return axis == SequenceAxis::time ? r.batch * r.notes : r.steps * r.batch;
}

Tensors inputs_of(const Row& r, Dtype dtype = Dtype::f64) {
  const int64_t gates = 4 * r.units;
  Tensors inputs =
      random_inputs({{r.steps, r.batch, r.notes, r.inputs}, {gates, r.inputs}, {gates, r.units}, {gates}}, 1, dtype);
  inputs[2] = scale(inputs[2], 0.5);
  return inputs;
}

LstmState some_state(const Row& r, SequenceAxis axis, Dtype dtype = Dtype::f64) {
  const Shape shape{rows_of(r, axis), r.units};
  return {tanh(random_input(shape, 11, dtype)), random_input(shape, 12, dtype)};
}

using LstmFunction = decltype(&lstm_stepwise);
const std::vector<LstmFunction> both_forms{lstm, lstm_stepwise};

}  // namespace

BOOST_AUTO_TEST_SUITE(lstm_layer)

BOOST_DATA_TEST_CASE(agrees_with_a_naive_one, boost::unit_test::data::make(sizes), r) {
  for (SequenceAxis axis : axes)
    for (LstmFunction form : both_forms)
      for (Dtype dtype : {Dtype::f32, Dtype::f64})
        for (bool carried : {false, true}) {
          const Tensors in = inputs_of(r, dtype);
          if (carried && in[0].elements() == 0) continue;
          const LstmState initial = carried ? some_state(r, axis, dtype) : LstmState{};
          const LstmResult found = form(in[0], in[1], in[2], in[3], axis, {initial, {}}, {});
          const Arrays x = arrays_of(in), start = carried ? arrays_of({initial.h, initial.c}) : Arrays{};
          const LstmReference expected = lstm_reference(x[0], x[1], x[2], x[3], axis, start);
          BOOST_TEST(found.h.shape() == in[0].shape().with(-1, r.units));
          BOOST_TEST(relative_difference(found.h.values(), expected.h.values) < limit_of(dtype));
          BOOST_TEST(relative_difference(found.c.values(), expected.c.values) < limit_of(dtype));
        }
}

BOOST_DATA_TEST_CASE(packed_and_stepwise_gradients_agree, boost::unit_test::data::make(sizes), r) {
  for (SequenceAxis axis : axes)
    for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
      const Tensors in = inputs_of(r, dtype);
      const Tensor dh = random_input(in[0].shape().with(-1, r.units), 20, dtype);
      // Each overwrites the gates that it is given.
      const LstmGradients a = lstm_grad(in[0], in[1], in[2], lstm(in[0], in[1], in[2], in[3], axis), axis, dh);
      const LstmGradients b = lstm_grad_stepwise(in[0], in[1], in[2], lstm(in[0], in[1], in[2], in[3], axis), axis, dh);
      BOOST_TEST(relative_difference(a.dx, b.dx) < limit_of(dtype));
      BOOST_TEST(relative_difference(a.dweight_ih, b.dweight_ih) < limit_of(dtype));
      BOOST_TEST(relative_difference(a.dweight_hh, b.dweight_hh) < limit_of(dtype));
      BOOST_TEST(relative_difference(a.dbias, b.dbias) < limit_of(dtype));
    }
}

// The same numbers as from dropout() behind the layer, on rows of widths that are no multiple of Philox's four words.
BOOST_DATA_TEST_CASE(dropout_of_the_result_is_dropout_behind_it, boost::unit_test::data::make(sizes), r) {
  const OutputDropout dropped{.probability = 0.4, .key = {.seed = 9, .site = 2, .step = 3}};
  for (SequenceAxis axis : axes)
    for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
      Tensors in = inputs_of(r, dtype);
      in[3] = in[3].to(accumulate_dtype(dtype));
      const auto behind = [&](const Tensor& x) { return dropout(x, dropped.probability, dropped.key); };
      const auto forward = [&](LstmFunction form, const OutputDropout& with) {
        return form(in[0], in[1], in[2], in[3], axis, {}, with);
      };
      const Tensor dy = random_input(in[0].shape().with(-1, r.units), 20, dtype);
      for (LstmFunction form : both_forms) {
        const LstmResult plain = forward(form, {}), found = forward(form, dropped);
        BOOST_TEST(same_bits(plain.y, plain.h));
        BOOST_TEST(same_bits(found.h, plain.h));
        BOOST_TEST(same_numbers(found.y, behind(plain.h)));
      }
      for (auto form : {lstm_grad, lstm_grad_stepwise}) {
        const LstmGradients found = form(in[0], in[1], in[2], forward(lstm, dropped), axis, dy, {}, dropped),
                            expected = form(in[0], in[1], in[2], forward(lstm, {}), axis, behind(dy), {}, {});
        BOOST_TEST(relative_difference(found.dx, expected.dx) < limit_of(dtype));
        BOOST_TEST(relative_difference(found.dweight_ih, expected.dweight_ih) < limit_of(dtype));
        BOOST_TEST(relative_difference(found.dweight_hh, expected.dweight_hh) < limit_of(dtype));
        BOOST_TEST(relative_difference(found.dbias, expected.dbias) < limit_of(dtype));
      }
    }
}

BOOST_DATA_TEST_CASE(gradient, boost::unit_test::data::make(sizes), r) {
  for (SequenceAxis axis : axes)
    for (double probability : {0.0, 0.3})
      BOOST_TEST(gradient_error(
                     [=](const Vars& x) {
                       return lstm(x[0], x[1], x[2], x[3], axis, {probability, {.seed = 4}});
                     },
                     inputs_of(r)) < gradient_limit);
}

BOOST_AUTO_TEST_CASE(gradient_of_two_layers_that_share_everything) {
  const auto twice = [](const Vars& x) {
    return lstm(lstm(x[0], x[1], x[2], x[3], SequenceAxis::time), x[1], x[2], x[3], SequenceAxis::notes);
  };
  BOOST_TEST(gradient_error(twice, inputs_of({4, 2, 3, 5, 5})) < gradient_limit);
}

BOOST_AUTO_TEST_CASE(two_chunks_are_one_sequence) {
  const Row r{9, 3, 8, 4, 6};
  const Tensors in = inputs_of(r);
  for (LstmFunction form : both_forms) {
    const auto run = [&](const Tensor& x, SequenceAxis axis, const LstmState& initial) {
      return form(x, in[1], in[2], in[3], axis, {initial, {}}, {});
    };
    const LstmResult whole = run(in[0], SequenceAxis::time, {});
    const LstmResult first = run(in[0].slice(0, 5), SequenceAxis::time, {});
    const LstmResult second = run(in[0].slice(5, 4), SequenceAxis::time, last_state(first, SequenceAxis::time));
    BOOST_TEST(relative_difference(first.h, whole.h.slice(0, 5)) < 1e-14);
    BOOST_TEST(relative_difference(second.h, whole.h.slice(5, 4)) < 1e-14);
    BOOST_TEST(relative_difference(last_state(second, SequenceAxis::time).c, last_state(whole, SequenceAxis::time).c) <
               1e-14);

    const std::vector<int> notes_first{2, 0, 1, 3}, back{1, 2, 0, 3};
    const auto some_notes = [&](const Tensor& x, int64_t from, int64_t count) {
      return permute(permute(x, notes_first).slice(from, count), back);
    };
    const LstmResult all = run(in[0], SequenceAxis::notes, {});
    const LstmResult low = run(some_notes(in[0], 0, 3), SequenceAxis::notes, {});
    const LstmResult high = run(some_notes(in[0], 3, 5), SequenceAxis::notes, last_state(low, SequenceAxis::notes));
    BOOST_TEST(relative_difference(low.h, some_notes(all.h, 0, 3)) < 1e-14);
    BOOST_TEST(relative_difference(high.h, some_notes(all.h, 3, 5)) < 1e-14);
    BOOST_TEST(relative_difference(last_state(high, SequenceAxis::notes).h, last_state(all, SequenceAxis::notes).h) <
               1e-14);
  }
}

BOOST_AUTO_TEST_CASE(misfits_are_errors) {
  const Tensors in = inputs_of({4, 2, 3, 5, 6});
  const auto with = [&](size_t index, const Tensor& other, const LstmState& initial = {}) {
    Tensors x = in;
    x[index] = other;
    return message_of([&] { lstm(x[0], x[1], x[2], x[3], SequenceAxis::time, {initial, {}}); });
  };
  const auto made = [](Shape shape) { return Tensor(shape, Dtype::f64); };
  BOOST_TEST(with(0, made({4, 6, 5})) == "lstm: expected [T,B,N,F], found [4,6,5]");
  BOOST_TEST(with(0, made({4, 2, 3, 4})) == "lstm: input [4,2,3,4], weight_ih [24,5], weight_hh [24,6], bias [24]");
  BOOST_TEST(with(2, made({20, 6})) == "lstm: input [4,2,3,5], weight_ih [24,5], weight_hh [20,6], bias [24]");
  BOOST_TEST(with(1, Tensor({24, 5}, Dtype::f32)) == "lstm: input f64, weights f32 f64 f64");
  BOOST_TEST(with(0, in[0], {made({6, 6}), made({5, 6})}) == "lstm: initial state [6,6] and [5,6], expected [6,6]");
  BOOST_TEST(with(0, in[0], {made({6, 6}), {}}) == "lstm: initial state [6,6] and [], expected [6,6]");
}

BOOST_AUTO_TEST_SUITE_END()
