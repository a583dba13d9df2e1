#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tensor/optimizer.h"
#include "tests/support/support.h"

// Shapes, views, types, the ops that move elements, sums, and the messages of errors.
namespace {

using namespace poph;
using namespace poph::test;

using Numbers = std::vector<double>;

Tensor counting(Shape shape, Dtype dtype = Dtype::f64) {
  Numbers values(shape.elements());
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return Tensor::from(values, shape, dtype);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tensor)

BOOST_AUTO_TEST_CASE(a_shape) {
  const Shape shape{2, 3, 4};
  BOOST_TEST(shape.elements() == 24);
  BOOST_TEST(shape.last() == 4);
  BOOST_TEST(shape.rows() == 6);
  BOOST_TEST(shape[-1] == 4);
  BOOST_TEST(shape.with(-2, 7) == (Shape{2, 7, 4}));
  BOOST_TEST(!(shape == Shape{2, 3}));
  BOOST_TEST(Shape{}.elements() == 1);
  BOOST_TEST(Shape{}.rows() == 1);
  BOOST_TEST((Shape{3, 0, 2}.elements()) == 0);
  BOOST_TEST(joined(shape, Shape{}) == "[2,3,4][]");
  BOOST_TEST(message_of([&] { shape[3]; }) == "shape: axis 3 of [2,3,4]");
  BOOST_TEST(message_of([&] { shape[-4]; }) == "shape: axis -4 of [2,3,4]");
  BOOST_TEST(message_of([] { Shape{1, 2, 3, 4, 5, 6, 7}; }) == "shape: more than 6 axes");
  BOOST_TEST(message_of([] { Shape{2, -1}; }) == "shape: an axis of size -1");
}

BOOST_AUTO_TEST_CASE(copies_share_and_clones_do_not) {
  Tensor x = counting({4, 3});
  const Tensor shared = x, view = x.slice(1, 2), flat = x.reshape({12}), copy = x.clone();
  x.data<double>()[4] = 50;
  BOOST_TEST(shared.values()[4] == 50);
  BOOST_TEST(view.values() == (Numbers{3, 50, 5, 6, 7, 8}), boost::test_tools::per_element());
  BOOST_TEST(view.shape() == (Shape{2, 3}));
  BOOST_TEST(view.slice(1, 1).values() == (Numbers{6, 7, 8}), boost::test_tools::per_element());
  BOOST_TEST(view.slice(2, 0).elements() == 0);
  BOOST_TEST(flat.values()[4] == 50);
  BOOST_TEST(copy.values()[4] == 4);
  x.slice(3, 1).copy_from(Tensor::full({1, 3}, -1, Dtype::f64));
  BOOST_TEST(x.values() == (Numbers{0, 1, 2, 3, 50, 5, 6, 7, 8, -1, -1, -1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(values_and_types) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64, Dtype::i32}) {
    BOOST_TEST(counting({3}, dtype).values() == (Numbers{0, 1, 2}), boost::test_tools::per_element());
    BOOST_TEST(Tensor::full({2}, 7, dtype).values() == (Numbers{7, 7}), boost::test_tools::per_element());
    BOOST_TEST(Tensor::zeros({2}, dtype).values() == (Numbers{0, 0}), boost::test_tools::per_element());
    BOOST_TEST(Tensor({0}, dtype).values().empty());
  }
  BOOST_TEST(Tensor::from({0.1}, {}, Dtype::f64).to(Dtype::f32).to(Dtype::f64).item() == static_cast<double>(0.1f));
  BOOST_TEST(!Tensor().defined());
  BOOST_TEST(!Tensor().clone().defined());
  BOOST_TEST(!Tensor().to(Dtype::f64).defined());
}

BOOST_AUTO_TEST_CASE(misfits_are_errors_that_name_op_and_shapes) {
  const auto made = [](Shape shape) { return Tensor::zeros(shape, Dtype::f32); };
  const Tensor x = made({2, 3}), flat = made({3});
  // clang-format off
  const std::pair<std::function<void()>, std::string> rows[] = {
      {[&] { x.reshape({4, 2}); }, "reshape: [2,3] holds 6 elements, [4,2] needs 8"},
      {[&] { x.slice(1, 2); }, "slice: [1, 3) of axis 0 of [2,3]"},
      {[&] { x.slice(-1, 1); }, "slice: [-1, 0) of axis 0 of [2,3]"},
      {[&] { made({}).slice(0, 0); }, "slice: [0, 0) of axis 0 of []"},
      {[&] { x.data<double>(); }, "tensor: data of type f32 read as f64"},
      {[&] { x.item(); }, "item: of a tensor of shape [2,3]"},
      {[&] { Tensor().item(); }, "values: of an undefined tensor"},
      {[&] { Tensor::from({1, 2}, {3}, Dtype::f32); }, "tensor: 2 values for shape [3]"},
      {[&] { x.clone().copy_from(flat); }, "copy: into f32 [2,3] from f32 [3]"},
      {[&] { add(x, made({2, 2})); }, "add: shapes [2,3] and [2,2] do not fit"},
      {[&] { mul(made({2}), x); }, "mul: shapes [2] and [2,3] do not fit"},
      {[&] { sub(x, x.to(Dtype::f64)); }, "sub: f32 on cpu and f64 on cpu"},
      {[&] { Tensor y = x.clone(); add_into(y, flat); }, "add_into: f32 [2,3] += f32 [3]"},
      {[&] { sum_to(x, {2}); }, "sum_to: shapes [2,3] and [2] do not fit"},
      {[&] { sum_to(flat, {2, 3}); }, "sum_to: [3] to [2,3]"},
      {[&] { softmax(made({2, 0})); }, "softmax: an empty last axis in [2,0]"},
      {[&] { layer_norm(x, flat, made({2}), 1e-5); }, "layer_norm: x [2,3], weight [3], bias [2]"},
      {[&] { min_last(made({2, 0})); }, "min_last: of shape [2,0]"},
      {[&] { concat_last({x, flat}); }, "concat_last: [2,3] and [3]"},
      {[&] { concat_last(Tensors{}); }, "concat_last: of nothing"},
      {[&] { slice_last(x, 2, 2); }, "slice_last: [2, 4) of [2,3]"},
      {[&] { concat({x, made({2, 2})}, 0); }, "concat: [2,3] and [2,2] along axis 0"},
      {[&] { concat(Tensors{}, 0); }, "concat: of nothing"},
      {[&] { slice(x, 0, 1, 2); }, "slice: [1, 3) of axis 0 of [2,3]"},
      {[&] { flip(x, 2); }, "shape: axis 2 of [2,3]"},
      {[&] { permute(x, {0}); }, "permute: 1 axes for [2,3]"},
      {[&] { permute(x, {0, -2}); }, "permute: an axis of [2,3] is named twice"},
      {[&] { matmul(x, x); }, "matmul: inner sizes differ, [2,3] and [2,3]"},
      {[&] { matmul(x, x, true, true); }, "matmul: inner sizes differ, [2,3]' and [2,3]'"},
      {[&] { matmul(x, flat); }, "matmul: expected matrices, found [2,3] and [3]"},
      {[&] { linear(x, made({4, 2}), {}); }, "linear: input [2,3], weight [4,2]"},
      {[&] { unfold_notes(flat, 3, 1); }, "unfold_notes: expected (.., N, C), found [3]"},
      {[&] { note_features(made({2, 3, 5, 3}), made({2, 3, 4, 6}), made({2, 3, 16}), 36, false); },
       "note_features: roll [2,3,5,3], convolution [2,3,4,6]"},
      {[&] { note_features(made({2, 3, 5, 3}), made({2, 3, 5, 6}), made({2, 3, 15}), 36, false); },
       "note_features: roll [2,3,5,3], beat [2,3,15]"},
      {[&] { bce_with_logits(x, flat); }, "bce_with_logits: logits [2,3] and targets [3]"},
  };
  // clang-format on
  for (const auto& [action, message] : rows) BOOST_TEST(message_of(action) == message);
}

BOOST_AUTO_TEST_CASE(rearranging) {
  const Tensor x = counting({2, 2, 3});
  // clang-format off
  const std::pair<Tensor, Numbers> rows[] = {
      {flip(x, 0), {6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5}},
      {flip(x, 1), {3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8}},
      {flip(x, -1), {2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9}},
      {shift(x, 0, 1), {0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5}},
      {shift(x, 2, -2), {2, 0, 0, 5, 0, 0, 8, 0, 0, 11, 0, 0}},
      {shift(x, 1, 5), Numbers(12)},
      {permute(x, {2, 0, 1}), {0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11}},
      {slice_last(x, 1, 2), {1, 2, 4, 5, 7, 8, 10, 11}},
      {concat_last({slice_last(x, 2, 1), slice_last(x, 0, 1)}), {2, 0, 5, 3, 8, 6, 11, 9}},
      {slice(x, 0, 1, 1), {6, 7, 8, 9, 10, 11}},
      {slice(x, 1, 1, 1), {3, 4, 5, 9, 10, 11}},
      {slice(x, -1, 1, 2), {1, 2, 4, 5, 7, 8, 10, 11}},
      {concat({slice(x, 1, 1, 1), x}, 1), {3, 4, 5, 0, 1, 2, 3, 4, 5, 9, 10, 11, 6, 7, 8, 9, 10, 11}},
      {concat({slice(x, 0, 1, 1), slice(x, 0, 0, 1)}, 0), {6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5}},
      {unfold_notes(counting({3, 1}), 4, 1), {0, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0}},
  };
  // clang-format on
  for (const auto& [found, expected] : rows) BOOST_TEST(found.values() == expected, boost::test_tools::per_element());
  BOOST_TEST(permute(x, {2, 0, 1}).shape() == (Shape{3, 2, 2}));
  BOOST_TEST(slice(x, 1, 1, 1).shape() == (Shape{2, 1, 3}));
  BOOST_TEST(concat({x, x}, -2).shape() == (Shape{2, 4, 3}));
  // The first of equals.
  const MinResult least = min_last(Tensor::from({3, 1, 1, -2, 0, -2}, {2, 3}, Dtype::f32));
  BOOST_TEST(least.value.values() == (Numbers{1, -2}), boost::test_tools::per_element());
  BOOST_TEST(least.index.values() == (Numbers{1, 0}), boost::test_tools::per_element());
}

// MODEL.md "Note features" for two notes of one pitch class and one of another: position, pitch class, how often it
// plays, convolution, beat.
BOOST_AUTO_TEST_CASE(note_features_of_a_small_roll) {
  const int64_t notes = 13, units = 2, width = 1 + 12 + 1 + units + 16;
  std::vector<double> roll(notes * 3), beat(16);
  roll[0 * 3] = roll[12 * 3] = roll[5 * 3] = 1;
  roll[5 * 3 + 1] = 1;
  beat[7] = 1;
  const Tensor conv = counting({1, 1, notes, units}), x = Tensor::from(roll, {1, 1, notes, 3}, Dtype::f64);
  const Numbers up = note_features(x, conv, Tensor::from(beat, {1, 1, 16}, Dtype::f64), 38, false).values();
  const Numbers down = note_features(x, conv, Tensor::from(beat, {1, 1, 16}, Dtype::f64), 38, true).values();
  for (int64_t note = 0; note < notes; ++note) {
    Numbers expected(width);
    expected[0] = static_cast<double>(note) / notes;
    expected[1 + (38 + note) % 12] = 1;
    expected[13] = note == 0 || note == 12 ? 2 : note == 5 ? 1 : 0;
    expected[14] = static_cast<double>(2 * note);
    expected[15] = static_cast<double>(2 * note + 1);
    expected[16 + 7] = 1;
    const auto ascending = up.begin() + note * width, descending = down.begin() + (notes - 1 - note) * width;
    BOOST_TEST(relative_difference(Numbers(ascending, ascending + width), expected) < 1e-15);
    BOOST_TEST(relative_difference(Numbers(descending, descending + width), expected) < 1e-15);
  }
}

BOOST_AUTO_TEST_CASE(sums_against_long_ones_in_f64) {
  struct Row {
    Shape from, to;
  };
  for (const Row& row :
       {Row{{100003}, {}}, Row{{1}, {}}, Row{{255, 17}, {17}}, Row{{256, 16}, {16}}, Row{{257, 15}, {15}},
        Row{{70001, 3}, {3}}, Row{{513, 33}, {1, 33}}, Row{{7, 300, 5}, {300, 5}}, Row{{7, 300, 5}, {7, 1, 5}},
        Row{{7, 300, 5}, {1, 300, 1}}, Row{{7, 300, 5}, {7, 300, 1}}, Row{{2, 1, 40, 1, 9}, {1, 40, 1, 1}},
        Row{{3, 5}, {3, 5}}, Row{{0, 5}, {5}}, Row{{4, 0}, {4, 1}}}) {
    for (Dtype dtype : {Dtype::f32, Dtype::f64}) {
      const Tensor x = random_input(row.from, 1, dtype);
      std::vector<long double> sums(row.to.elements());
      const Numbers values = x.values();
      for (size_t i = 0; i < values.size(); ++i) {  // where i lies in the result
        int64_t rest = static_cast<int64_t>(i), at = 0, stride = 1;
        for (int axis = -1; axis >= -row.from.rank(); --axis) {
          const int64_t index = rest % row.from[axis];
          rest /= row.from[axis];
          if (-axis > row.to.rank()) continue;
          at += row.to[axis] == 1 ? 0 : index * stride;
          stride *= row.to[axis];
        }
        sums[at] += values[i];
      }
      const Tensor found = sum_to(x, row.to);
      BOOST_TEST(found.shape() == row.to);
      BOOST_TEST(
          relative_difference(found.values(), Numbers(sums.begin(), sums.end())) < (dtype == Dtype::f64 ? 1e-14 : 1e-6),
          row.from << " to " << row.to);
    }
  }
}

BOOST_AUTO_TEST_CASE(losses_and_norms_of_extreme_numbers) {
  const Numbers logits{-90, -20, -1, 0, 2, 20, 90};
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (double target : {0.0, 0.3, 1.0}) {
      const Tensor x = Tensor::from(logits, {7}, dtype), t = Tensor::full({7}, target, dtype);
      const Numbers found = bce_with_logits(x, t).values();
      for (size_t i = 0; i < logits.size(); ++i) {
        const double z = logits[i], exact = t.values()[i],
                     expected = std::max(z, 0.0) - z * exact + std::log1p(std::exp(-std::abs(z)));
        // exp and log1p are glibc's vector forms, which may be 4 units in the last place off, each; by how much, the
        // processor decides.
        BOOST_TEST(std::abs(found[i] - expected) <= (dtype == Dtype::f64 ? 1e-14 : 1e-6) * expected + 1e-37,
                   z << " against " << target);
      }
    }
  const Tensor high = Tensor::from({1000, 999, -1000}, {3}, Dtype::f32);
  BOOST_TEST(relative_difference(softmax(high).values(), {1 / (1 + std::exp(-1.0)), 1 / (1 + std::exp(1.0)), 0}) <
             1e-6);
  // The kernels are compiled with -ffast-math, which knows no NaN; this one must all the same.
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    BOOST_TEST(count_nonfinite(Tensor::from({1, nan, 2, infinity, -infinity, 0, -nan, 3e38}, {8}, dtype)) == 4);
  BOOST_TEST(sums_of_squares({Tensor::full({100}, 1e25, Dtype::f32)}).item() > 0.99e52);  // sums in f64
}

BOOST_AUTO_TEST_SUITE_END()
