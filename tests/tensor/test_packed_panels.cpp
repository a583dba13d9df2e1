#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include "tensor/cpu/lstm.h"
#include "tests/support/support.h"

// The CPU's own float32 kernels at every level of instructions that this processor has, on sizes that no vector
// divides.
namespace {

using namespace poph;
using namespace poph::test;

struct Level {
  explicit Level(CpuLevel level) { limit_cpu_level(level); }
  ~Level() { limit_cpu_level(CpuLevel::avx512); }
};
const std::vector<CpuLevel> levels{CpuLevel::baseline, CpuLevel::avx2, CpuLevel::avx512};

struct Product {
  int64_t rows, columns, depth;
};
std::ostream& operator<<(std::ostream& out, const Product& p) {
  return out << p.rows << " x " << p.columns << " over " << p.depth;
}
const std::vector<Product> products{{1, 1, 1},     {5, 15, 3},    {6, 16, 7},   {7, 17, 1},   {11, 47, 94},
                                    {12, 48, 128}, {13, 63, 9},   {3, 64, 255}, {96, 65, 31}, {97, 130, 88},
                                    {130, 97, 88}, {61, 33, 600}, {0, 3, 4},    {4, 3, 0}};

struct Layer {
  int64_t steps, batch, notes, inputs, units;  // x is [steps, batch, notes, inputs]
};
std::ostream& operator<<(std::ostream& out, const Layer& l) {
  return out << '[' << l.steps << ',' << l.batch << ',' << l.notes << ',' << l.inputs << "] to " << l.units;
}
const std::vector<Layer> layers{{1, 1, 1, 1, 1},  {5, 3, 7, 4, 6},    {2, 1, 88, 3, 17},  {3, 97, 1, 33, 5},
                                {7, 1, 1, 2, 64}, {2, 2, 50, 94, 31}, {130, 1, 3, 5, 16}, {2, 17, 60, 2, 3},
                                {0, 2, 3, 4, 5},  {3, 0, 2, 4, 5}};

Tensors inputs_of(const Layer& l) {
  Tensors inputs = random_inputs(
      {{l.steps, l.batch, l.notes, l.inputs}, {4 * l.units, l.inputs}, {4 * l.units, l.units}, {4 * l.units}}, 1,
      Dtype::f32);
  for (size_t i = 1; i < 3; ++i) inputs[i] = scale(inputs[i], 0.3);
  return inputs;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(panels)

BOOST_DATA_TEST_CASE(a_product_agrees_with_matmul, boost::unit_test::data::make(products), p) {
  for (CpuLevel level : levels)
    for (bool transposed : {false, true})
      for (bool add : {false, true}) {
        const Level at(level);
        const Tensor a = random_input(transposed ? Shape{p.depth, p.rows} : Shape{p.rows, p.depth}, 1, Dtype::f32);
        const Tensor b = random_input({p.depth, p.columns}, 2, Dtype::f32),
                     before = random_input({p.rows, p.columns}, 3, Dtype::f32);
        Tensor packed({panel_elements(p.depth, p.columns)}, Dtype::f32), c({p.rows, p.columns + 3}, Dtype::f32);
        fill(c, 7);
        for (int64_t row = 0; row < p.rows; ++row)
          std::copy_n(before.data<float>() + row * p.columns, p.columns, c.data<float>() + row * (p.columns + 3));
        pack_columns(b.data<float>(), p.columns, p.depth, p.columns, packed.data<float>());
        PanelProduct{p.rows,
                     p.columns,
                     p.depth,
                     a.data<float>(),
                     transposed ? 1 : p.depth,
                     transposed ? p.rows : 1,
                     packed.data<float>(),
                     c.data<float>(),
                     p.columns + 3,
                     add}();
        Tensor expected = matmul(a, b, transposed);
        if (add) expected = poph::add(expected, before);
        if (p.rows == 0) continue;
        BOOST_TEST(relative_difference(slice_last(c, 0, p.columns), expected) < 1e-5,
                   p << " at level " << static_cast<int>(level));
        BOOST_TEST(same_bits(slice_last(c, p.columns, 3), Tensor::full({p.rows, 3}, 7, Dtype::f32)),
                   p);  // nothing beyond it was touched
      }
}

BOOST_DATA_TEST_CASE(an_lstm_layer_agrees_with_its_twin, boost::unit_test::data::make(layers), l) {
  for (CpuLevel level : levels)
    for (SequenceAxis axis : {SequenceAxis::time, SequenceAxis::notes})
      for (bool carried : {false, true}) {
        const Level at(level);
        const Tensors in = inputs_of(l);
        const Sequence s(in[0].shape(), axis);
        LstmState initial;
        if (carried && s.rows)
          initial = {random_input({s.rows, l.units}, 11, Dtype::f32), random_input({s.rows, l.units}, 12, Dtype::f32)};
        const LstmResult expected = lstm_stepwise(in[0], in[1], in[2], in[3], axis, {initial, {}});
        LstmResult found{expected.h.clone(), expected.gates.clone(), expected.c.clone(), {}};
        for (Tensor* x : {&found.h, &found.gates, &found.c}) fill(*x, 99);
        lstm_packed(in[0], pack_lstm(in[1], in[2], in[3]), s, {initial, {}}, {}, found);
        if (in[0].elements() == 0) continue;
        BOOST_TEST(relative_difference(found.h, expected.h) < 1e-5, l << " at level " << static_cast<int>(level));
        BOOST_TEST(relative_difference(found.c, expected.c) < 1e-5, l);
        BOOST_TEST(relative_difference(found.gates, expected.gates) < 1e-5, l);
      }
}

BOOST_DATA_TEST_CASE(its_gradients_agree_with_its_twin, boost::unit_test::data::make(layers), l) {
  for (CpuLevel level : levels)
    for (SequenceAxis axis : {SequenceAxis::time, SequenceAxis::notes}) {
      const Level at(level);
      const Tensors in = inputs_of(l);
      const Sequence s(in[0].shape(), axis);
      const LstmResult forward = lstm_stepwise(in[0], in[1], in[2], in[3], axis),
                       same{forward.h, forward.gates.clone(), forward.c, {}};
      const Tensor dh = random_input(forward.h.shape(), 13, Dtype::f32);
      const LstmGradients expected = lstm_grad_stepwise(in[0], in[1], in[2], forward, axis, dh),
                          found = lstm_grad_packed(in[0], in[1], in[2], same, s, dh, {}, {});
      if (in[0].elements() == 0) {
        BOOST_TEST(same_bits(found.dweight_hh, Tensor::zeros(in[2].shape(), Dtype::f32)));
        continue;
      }
      BOOST_TEST(relative_difference(found.dx, expected.dx) < 1e-5, l << " at level " << static_cast<int>(level));
      BOOST_TEST(relative_difference(found.dweight_ih, expected.dweight_ih) < 1e-5, l);
      BOOST_TEST(relative_difference(found.dbias, expected.dbias) < 1e-5, l);
      const bool one_step = s.steps == 1;  // then no h came before
      if (one_step)
        BOOST_TEST(same_bits(found.dweight_hh, Tensor::zeros(in[2].shape(), Dtype::f32)));
      else
        BOOST_TEST(relative_difference(found.dweight_hh, expected.dweight_hh) < 1e-5, l);
    }
}

BOOST_AUTO_TEST_CASE(a_row_does_not_depend_on_the_rows_beside_it) {
  const Tensors in = inputs_of({4, 101, 3, 7, 19});
  const LstmResult all = lstm(in[0], in[1], in[2], in[3], SequenceAxis::time);
  for (int64_t batch : {29, 64, 100}) {
    const Tensor some = permute(permute(in[0], {1, 0, 2, 3}).slice(0, batch), {1, 0, 2, 3});
    const LstmResult alone = lstm(some, in[1], in[2], in[3], SequenceAxis::time);
    BOOST_TEST(same_bits(permute(alone.h, {1, 0, 2, 3}), permute(all.h, {1, 0, 2, 3}).slice(0, batch)));
  }
}

BOOST_AUTO_TEST_CASE(packed_weights_give_the_same) {
  const Tensors in = inputs_of({100, 3, 3, 7, 19});
  const PackedLstm packed = pack_lstm(in[1], in[2], in[3]);
  for (SequenceAxis axis : {SequenceAxis::time, SequenceAxis::notes})
    BOOST_TEST(
        same_bits(lstm(in[0], in[1], in[2], in[3], axis, {}, {}, packed).h, lstm(in[0], in[1], in[2], in[3], axis).h));
  BOOST_TEST(!pack_lstm(in[1].to(Dtype::f64), in[2].to(Dtype::f64), in[3].to(Dtype::f64)).panels.defined());
}

BOOST_DATA_TEST_CASE(partial_gates_end_in_the_same_bits, boost::unit_test::data::make(layers), l) {
  for (CpuLevel level : levels)
    for (SequenceAxis axis : {SequenceAxis::time, SequenceAxis::notes})
      for (int64_t known : {int64_t{1}, l.inputs / 2, l.inputs}) {
        const Level at(level);
        const Tensors in = inputs_of(l);
        if (in[0].elements() == 0 || known == 0) continue;
        const PackedLstm packed = pack_lstm(in[1], in[2], in[3]);
        const Tensor partial_gates = lstm_partial_gates(slice_last(in[0], 0, known), packed),
                     others = slice_last(in[0], known, l.inputs - known);
        const LstmResult expected = lstm(in[0], in[1], in[2], in[3], axis, {}, {}, packed),
                         found = lstm(others, in[1], in[2], in[3], axis, {}, {}, packed, partial_gates);
        BOOST_TEST(same_bits(found.h, expected.h),
                   l << " at level " << static_cast<int>(level) << ", " << known << " inputs known");
        BOOST_TEST(same_bits(found.gates, expected.gates), l);
      }
  const Tensors in = inputs_of({3, 2, 3, 7, 19});
  const PackedLstm packed = pack_lstm(in[1], in[2], in[3]);
  const Tensor partial_gates = lstm_partial_gates(slice_last(in[0], 0, 4).slice(0, 2), packed);
  BOOST_CHECK_EXCEPTION(
      lstm(slice_last(in[0], 4, 3), in[1], in[2], in[3], SequenceAxis::time, {}, {}, packed, partial_gates), Error,
      [](const Error& error) { return std::string(error.what()).find("lstm: input [3,2,3,3]") != std::string::npos; });
}

BOOST_AUTO_TEST_SUITE_END()
