#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tests/support/op_cases.h"

namespace {

using namespace poph;
using namespace poph::test;

struct Row {
  std::string name;
  std::function<Var(const Vars&)> function;
  std::vector<Shape> shapes;
};
std::ostream& operator<<(std::ostream& out, const Row& row) { return out << row.name; }

// Constants for the functions that take one.
Tensor constant(Shape shape) { return random_input(shape, 900); }
Tensor share(Shape shape) { return sigmoid(constant(shape)); }
// A different whole number for each of 97 neighbours: no two elements of a row come close enough to change places.
Var ramp(Shape shape) {
  std::vector<double> values(shape.elements());
  for (size_t i = 0; i < values.size(); ++i) values[i] = 20.0 * static_cast<double>(i * 41 % 97);
  return Var(Tensor::from(values, shape, Dtype::f64));
}

const RandomKey key{.seed = 5, .site = 1, .step = 2};
using In = const Vars&;

std::vector<Row> rows() {
  std::vector<Row> rows;
  for (const ElementwiseFunction& f : elementwise_functions())
    for (const Shape& shape : {Shape{3, 11}, Shape{}, Shape{0, 4}})
      rows.push_back({joined(f.name, " of ", shape), [f](In x) { return f.function(x[0]); }, {shape}});
  // clang-format off
  const std::vector<Row> others{
      {"add", [](In x) { return add(x[0], x[1]); }, {{3, 5}, {3, 5}}},
      {"add a row", [](In x) { return add(x[0], x[1]); }, {{2, 3, 5}, {5}}},
      {"add to a row", [](In x) { return add(x[0], x[1]); }, {{5}, {2, 3, 5}}},
      {"add nothing", [](In x) { return add(x[0], x[1]); }, {{0, 3}, {3}}},
      {"sub", [](In x) { return sub(x[0], x[1]); }, {{3, 5}, {3, 5}}},
      {"sub a number", [](In x) { return sub(x[0], x[1]); }, {{7, 3}, {}}},
      {"sub from a column", [](In x) { return sub(x[0], x[1]); }, {{7, 1}, {7, 3}}},
      {"mul", [](In x) { return mul(x[0], x[1]); }, {{3, 5}, {3, 5}}},
      {"mul along a middle axis", [](In x) { return mul(x[0], x[1]); }, {{2, 3, 5}, {2, 1, 5}}},
      {"mul of two stretched", [](In x) { return mul(x[0], x[1]); }, {{2, 1, 5, 1}, {3, 1, 4}}},
      {"mul large", [](In x) { return mul(x[0], x[1]); }, {{41, 7, 33}, {41, 1, 33}}},
      {"mul with itself", [](In x) { return mul(x[0], x[0]); }, {{3, 5}}},
      {"x used three times", [](In x) { return add(mul(x[0], tanh(x[0])), x[0]); }, {{3, 5}}},
      {"sum", [](In x) { return sum(x[0]); }, {{3, 11}}},
      {"sum of many", [](In x) { return sum(square(x[0])); }, {{9001}}},
      {"sum of nothing", [](In x) { return sum(x[0]); }, {{0, 4}}},
      {"mean", [](In x) { return mean(x[0]); }, {{3, 11}}},
      {"mean_axis first", [](In x) { return mean_axis(x[0], 0); }, {{3, 4, 5}}},
      {"mean_axis middle", [](In x) { return mean_axis(x[0], 1); }, {{3, 4, 5}}},
      {"mean_axis last", [](In x) { return mean_axis(x[0], -1); }, {{3, 4, 5}}},
      {"softmax", [](In x) { return softmax(x[0]); }, {{3, 7}}},
      {"softmax of one", [](In x) { return add(softmax(x[0]), x[0]); }, {{3, 1}}},
      {"softmax of no rows", [](In x) { return softmax(x[0]); }, {{0, 7}}},
      {"min_last", [](In x) { return min_last(add(x[0], ramp(x[0].shape()))); }, {{3, 4, 7}}},
      {"layer_norm", [](In x) { return layer_norm(x[0], x[1], x[2], 1e-5); }, {{3, 2, 7}, {7}, {7}}},
      {"layer_norm large", [](In x) { return layer_norm(x[0], x[1], x[2], 0.1); }, {{301, 33}, {33}, {33}}},
      {"reshape", [](In x) { return reshape(x[0], {5, 6}); }, {{3, 2, 5}}},
      {"concat_last", [](In x) { return concat_last({x[0], x[1], x[2], x[0]}); }, {{2, 3, 1}, {2, 3, 4}, {2, 3, 0}}},
      {"slice_last", [](In x) { return slice_last(x[0], 2, 3); }, {{2, 3, 7}}},
      {"slice_last of nothing", [](In x) { return slice_last(x[0], 2, 0); }, {{2, 3, 7}}},
      {"flip", [](In x) { return mul(x[1], flip(x[0], 1)); }, {{2, 3, 5}, {2, 3, 5}}},
      {"shift", [](In x) { return mul(x[1], shift(x[0], 1, 2)); }, {{2, 4, 5}, {2, 4, 5}}},
      {"shift back", [](In x) { return mul(x[1], shift(x[0], 0, -1)); }, {{3, 4}, {3, 4}}},
      {"permute", [](In x) { return permute(x[0], {2, 0, -1, 1}); }, {{2, 3, 4, 5}}},
      {"dropout", [](In x) { return dropout(x[0], 0.4, key); }, {{3, 11}}},
      {"dropout off", [](In x) { return dropout(x[0], 0, key); }, {{3, 11}}},
      {"dropout of nothing", [](In x) { return dropout(x[0], 0.4, key); }, {{0, 11}}},
      {"matmul", [](In x) { return matmul(x[0], x[1]); }, {{3, 5}, {5, 7}}},
      {"matmul over nothing", [](In x) { return matmul(x[0], x[1]); }, {{3, 0}, {0, 7}}},
      {"linear", [](In x) { return linear(x[0], x[1], x[2]); }, {{2, 3, 5}, {4, 5}, {4}}},
      {"linear without a bias", [](In x) { return linear(x[0], x[1]); }, {{2, 3, 5}, {4, 5}}},
      {"linear of no rows", [](In x) { return linear(x[0], x[1], x[2]); }, {{0, 5}, {4, 5}, {4}}},
      {"linear of a constant", [](In x) { return linear(Var(constant({6, 5})), x[0], x[1]); }, {{4, 5}, {4}}},
      {"linear, input is weight", [](In x) { return linear(x[0], x[0]); }, {{5, 5}}},
      {"unfold_notes", [](In x) { return unfold_notes(x[0], 5, 2); }, {{2, 7, 3}}},
      {"unfold_notes wider than the notes", [](In x) { return unfold_notes(x[0], 24, 11); }, {{2, 1, 9, 2}}},
      {"note_features", [](In x) {
         return note_features(constant({2, 3, 13, 3}), x[0], constant({2, 3, 16}), 36, false);
       }, {{2, 3, 13, 4}}},
      {"note_features descending", [](In x) {
         return note_features(constant({1, 2, 5, 3}), x[0], constant({1, 2, 16}), 41, true);
       }, {{1, 2, 5, 3}}},
      {"bce_with_logits", [](In x) { return bce_with_logits(x[0], share({3, 11})); }, {{3, 11}}},
      {"bce_with_logits, sure", [](In x) { return bce_with_logits(scale(x[0], 30), share({3, 11})); }, {{3, 11}}},
  };
  // clang-format on
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gradients)

BOOST_DATA_TEST_CASE(of_a_function, boost::unit_test::data::make(rows()), row) {
  BOOST_TEST(gradient_error(row.function, random_inputs(row.shapes, 1)) < gradient_limit, row.name);
}

BOOST_AUTO_TEST_CASE(of_a_node_with_several_outputs) {
  const auto both = [](const Var& x) {  // 2 x and x^2, from one node
    return record_many({scale(x.value(), 2), square(x.value())}, {x}, [x = x.value()](const Tensors& dy) {
      return Tensors{add(scale(dy[0], 2), square_grad(x, dy[1]))};
    });
  };
  const Vars leaves = leaves_of(random_inputs({{3, 5}}, 1));
  BOOST_TEST(gradient_error([&] { return both(leaves[0]); }, leaves) < gradient_limit);
  // the other one's is zeros
  BOOST_TEST(gradient_error([&] { return Vars{both(leaves[0])[1]}; }, leaves) < gradient_limit);
  BOOST_TEST(gradient_error(
                 [&] {
                   const Vars y = both(leaves[0]);
                   return Vars{mul(y[0], y[1]), y[0]};
                 },
                 leaves) < gradient_limit);
}

// The check itself must bite: one wrong term, a forgotten input, a wrong shape, a small wrong factor.
BOOST_AUTO_TEST_CASE(a_wrong_gradient_is_found) {
  const auto error_of = [](Backward wrong) {
    return gradient_error(
        [&](const Vars& x) {
          return record(mul(x[0].value(), x[1].value()), {x[0], x[1]}, wrong);
        },
        random_inputs({{31, 5}, {31, 5}}, 1));
  };
  const Tensors x = random_inputs({{31, 5}, {31, 5}}, 1);
  BOOST_TEST(error_of([x](const Tensors& dy) { return Tensors{mul(dy[0], x[1]), mul(dy[0], x[0])}; }) < gradient_limit);
  BOOST_TEST(error_of([x](const Tensors& dy) { return Tensors{mul(dy[0], x[0]), mul(dy[0], x[1])}; }) > 1e-2);
  BOOST_TEST(error_of([x](const Tensors& dy) { return Tensors{mul(dy[0], x[1]), Tensor()}; }) > 1e-2);
  BOOST_TEST(error_of([x](const Tensors& dy) {
               return Tensors{mul(dy[0], x[1]), scale(mul(dy[0], x[0]), 1 + 1e-6)};
             }) > gradient_limit);
  BOOST_TEST(error_of([x](const Tensors& dy) {
               Tensor one = mul(dy[0], x[1]);
               one.data<double>()[77] += 1e-4;
               return Tensors{one, mul(dy[0], x[0])};
             }) > gradient_limit);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(engine)

BOOST_AUTO_TEST_CASE(gradients_accumulate_and_are_summed_over_stretched_axes) {
  Var x(Tensor::from({1, 2, 3}, {3}, Dtype::f64), true), b(Tensor::from({10}, {}, Dtype::f64), true);
  backward(sum(add(mul(x, x), b)));
  BOOST_TEST(x.gradient().values() == (std::vector<double>{2, 4, 6}), boost::test_tools::per_element());
  BOOST_TEST(b.gradient().item() == 3);
  BOOST_TEST(b.gradient().shape() == Shape{});
  backward(sum(x));  // a second pass adds to the first
  BOOST_TEST(x.gradient().values() == (std::vector<double>{3, 5, 7}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(two_leaves_never_share_a_sum) {  // add hands one tensor to both
  Var a(Tensor::from({1}, {1}, Dtype::f64), true), b(Tensor::from({1}, {1}, Dtype::f64), true);
  backward(sum(add(a, b)));
  backward(sum(scale(a, 5)));
  BOOST_TEST(a.gradient().item() == 6);
  BOOST_TEST(b.gradient().item() == 1);
}

BOOST_AUTO_TEST_CASE(gradients_that_nothing_requires_are_skipped) {
  const Tensor two = Tensor::full({2}, 2, Dtype::f64);
  Var wanted(two, true), unwanted(two);
  int calls = 0;
  const auto counted = [&](const Var& x) {
    return record(x.value(), {x}, [&](const Tensors& dy) {
      ++calls;
      return dy;
    });
  };
  backward(sum(mul(counted(unwanted), counted(wanted))));
  BOOST_TEST(calls == 1);
  BOOST_TEST(!unwanted.gradient().defined());
  BOOST_TEST(wanted.gradient().values() == two.values(), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(closures_and_what_they_hold_go_as_soon_as_possible) {
  const auto held = std::make_shared<int>(1);
  const Tensor one = Tensor::full({}, 1, Dtype::f64);
  const auto using_held = [&](const Var& x) {
    return record(x.value(), {x}, [copy = held](const Tensors& dy) { return dy; });
  };
  Var leaf(one, true);
  const Var constant_result = using_held(Var(one));
  BOOST_TEST(held.use_count() == 1);
  {
    const NoGrad no_grad;
    const NoGrad again;
    BOOST_TEST(!using_held(leaf).requires_grad());
    BOOST_TEST(held.use_count() == 1);
  }
  const Var loss = using_held(leaf);  // recording is on again
  BOOST_TEST(held.use_count() == 2);
  backward(loss);
  BOOST_TEST(held.use_count() == 1);
  { const Var dropped = using_held(leaf); }
  BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(every_node_runs_once_and_after_all_its_uses) {
  Var x(Tensor::full({}, 1, Dtype::f64), true);
  Var y = x;
  for (int i = 0; i < 60; ++i) y = add(y, y);  // 2^60 paths
  backward(y);
  BOOST_TEST(x.gradient().item() == std::ldexp(1.0, 60));
}

BOOST_AUTO_TEST_CASE(misuse_is_an_error) {
  const Var x(Tensor::full({2}, 1, Dtype::f64), true);
  const Var loss = sum(square(x));
  backward(loss);
  BOOST_TEST(message_of([&] { backward(loss); }) == "backward: this graph was used already");
  BOOST_TEST(message_of([&] { backward(square(x)); }) == "backward: the loss must be one number");
  BOOST_TEST(message_of([&] { backward(Var()); }) == "backward: the loss must be one number");
  BOOST_TEST(message_of([&] { backward(Var(Tensor::full({}, 1, Dtype::f64))); }) ==
             "backward: the loss depends on nothing that requires a gradient");
  BOOST_TEST(message_of([&] { backward(record(sum(x.value()), {x}, [](const Tensors&) { return Tensors{}; })); }) ==
             "backward: 0 gradients for 1 inputs");
  BOOST_TEST(message_of([&] {
               backward(
                   record(sum(x.value()), {x}, [](const Tensors&) { return Tensors{Tensor::zeros({3}, Dtype::f64)}; }));
             }) == "sum_to: shapes [3] and [2] do not fit");
  BOOST_TEST(message_of([] { mean(Var(Tensor({0}, Dtype::f64))); }) == "mean: of no elements");
}

BOOST_AUTO_TEST_SUITE_END()
