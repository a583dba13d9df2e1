#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <map>
#include <set>

#include "tests/support/fewer.h"
#include "tests/support/models.h"

// The layers and blocks of MODEL.md "Note features" and "Blocks": against plain loops, and their gradients.
namespace {

using namespace poph;
using namespace poph::test;

Initializer in_double() { return {.seed = 3, .dtype = Dtype::f64}; }

template <class Layer>
Vars leaves_of_layer(Layer& layer, const Var& x) {
  Vars leaves{x};
  layer.each_parameter([&](const std::string&, Var& parameter) { leaves.push_back(parameter); });
  return leaves;
}

template <class Layer>
double layer_gradient_error(Layer layer, Shape shape) {
  scramble_parameters(layer, 100);
  const Var x(random_input(shape, 90), true);
  return gradient_error([&] { return Vars{layer(x)}; }, leaves_of_layer(layer, x));
}

template <class Block>
double block_gradient_error(Block block, bool training, Shape shape = {3, 2, 4, 5}) {
  scramble_parameters(block, 100);
  const Var x(random_input(shape, 90), true);
  const auto run = [&] {
    ForwardContext context{.training = training, .seed = 5, .step = 9};
    return Vars{block(x, context)};
  };
  return best_gradient_error(run, leaves_of_layer(block, x));
}

// Each switch by itself, and all at once, for both kinds, masked or not.
struct AttentionRow {
  std::string name;
  BlockSettings settings;
  bool masked;
};
std::ostream& operator<<(std::ostream& out, const AttentionRow& row) { return out << row.name; }

std::vector<AttentionRow> attention_rows() {
  const std::vector<std::pair<std::string, void (*)(BlockSettings&)>> switches{
      {"default", [](BlockSettings&) {}},
      {"no residual", [](BlockSettings& s) { s.residual = false; }},
      {"no feed-forward", [](BlockSettings& s) { s.feed_forward = false; }},
      {"query gate", [](BlockSettings& s) { s.query_gate = true; }},
      {"no scale", [](BlockSettings& s) { s.scale = false; }},
      {"all of them", [](BlockSettings& s) { s.residual = s.feed_forward = s.scale = !(s.query_gate = true); }},
      {"3 heads of 1", [](BlockSettings& s) { s.heads = 3, s.head_dim = 1; }},
  };
  std::vector<AttentionRow> rows;
  for (BlockKind kind : {BlockKind::attention_notes, BlockKind::attention_time_notes})
    for (bool masked : {false, true})
      for (Norm norm : {Norm::none, Norm::pre, Norm::post})
        for (const auto& [name, change] : switches) {
          BlockSettings settings = attention_block(kind);
          settings.norm = norm;
          change(settings);
          rows.push_back(
              {joined(name, ", norm ", static_cast<int>(norm),
                      kind == BlockKind::attention_notes ? ", notes" : ", time and notes", masked ? ", masked" : ""),
               settings, masked});
        }
  return rows;
}

// -- MODEL.md "Blocks" in plain loops, one vector at a time
using Row = std::vector<double>;
using Parameters = std::map<std::string, std::vector<double>>;

Row times(const std::vector<double>& weight, const Row& x) {
  Row y(weight.size() / x.size());
  for (size_t i = 0; i < y.size(); ++i)
    for (size_t j = 0; j < x.size(); ++j) y[i] += weight[i * x.size() + j] * x[j];
  return y;
}
Row plus(Row a, const Row& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}
Row normalised(const Row& x, const Parameters& p, const std::string& name) {
  double mean = 0, variance = 0;
  for (double value : x) mean += value / x.size();
  for (double value : x) variance += (value - mean) * (value - mean) / x.size();
  Row y(x.size());
  for (size_t i = 0; i < x.size(); ++i)
    y[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * p.at(name + ".weight")[i] + p.at(name + ".bias")[i];
  return y;
}

std::vector<double> naive_attention_block(const AttentionRow& row, const Parameters& p, const Tensor& input) {
  const BlockSettings& s = row.settings;
  const Shape shape = input.shape();
  const int64_t steps = shape[0], batch = shape[1], notes = shape[2], width = shape[3];
  const std::vector<double> values = input.values();
  std::vector<Row> x, q, k, v;
  for (size_t i = 0; i < values.size(); i += width) x.emplace_back(values.begin() + i, values.begin() + i + width);
  for (const Row& one : x) {
    const Row h = s.norm == Norm::pre ? normalised(one, p, "norm1") : one;
    q.push_back(times(p.at("query.weight"), h)), k.push_back(times(p.at("key.weight"), h)),
        v.push_back(times(p.at("value.weight"), h));
  }
  const auto at = [&](int64_t t, int64_t b, int64_t n) { return (t * batch + b) * notes + n; };
  const auto sees = [&](int64_t t, int64_t n, int64_t other_t, int64_t other_n) {
    if (s.kind == BlockKind::attention_notes) return other_t == t && (!row.masked || other_n <= n);
    return other_t < t || (other_t == t && (!row.masked || other_n <= n));
  };
  std::vector<double> result;
  for (int64_t t = 0; t < steps; ++t)
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t n = 0; n < notes; ++n) {
        const int64_t here = at(t, b, n);
        Row gathered(s.heads * s.head_dim);
        for (int64_t head = 0; head < s.heads; ++head) {
          double total = 0;
          for (int pass = 0; pass < 2; ++pass)  // the sum of the weights, then the weighted values
            for (int64_t other_t = 0; other_t < steps; ++other_t)
              for (int64_t other_n = 0; other_n < notes; ++other_n) {
                if (!sees(t, n, other_t, other_n)) continue;
                const int64_t there = at(other_t, b, other_n);
                double score = 0;
                for (int64_t i = head * s.head_dim; i < (head + 1) * s.head_dim; ++i) score += q[here][i] * k[there][i];
                const double weight = std::exp(s.scale ? score / std::sqrt(static_cast<double>(s.head_dim)) : score);
                if (pass == 0) total += weight;
                for (int64_t i = head * s.head_dim; pass == 1 && i < (head + 1) * s.head_dim; ++i)
                  gathered[i] += weight / total * v[there][i];
              }
        }
        for (size_t i = 0; s.query_gate && i < gathered.size(); ++i) gathered[i] *= q[here][i];
        const auto joined_by = [&](const Row& before, const Row& made, const char* norm) {
          const Row sum = s.residual ? plus(before, made) : made;
          return s.norm == Norm::post ? normalised(sum, p, norm) : sum;
        };
        Row z = joined_by(x[here], times(p.at("output.weight"), gathered), "norm1");
        if (s.feed_forward) {
          Row hidden = plus(times(p.at("feed_forward.0.weight"), s.norm == Norm::pre ? normalised(z, p, "norm2") : z),
                            p.at("feed_forward.0.bias"));
          for (double& unit : hidden) unit = std::max(unit, 0.0);
          z = joined_by(z, plus(times(p.at("feed_forward.1.weight"), hidden), p.at("feed_forward.1.bias")), "norm2");
        }
        result.insert(result.end(), z.begin(), z.end());
      }
  return result;
}

template <class Layer>
Parameters values_of(Layer& layer) {
  Parameters all;
  layer.each_parameter([&](const std::string& name, Var& parameter) { all[name] = parameter.value().values(); });
  return all;
}

template <class Layer>
std::set<std::string> names_of(Layer& layer) {
  std::set<std::string> names;
  layer.each_parameter(
      [&](const std::string& name, Var& parameter) { names.insert(joined(name, ' ', parameter.shape())); });
  return names;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(layers, OneThread)

BOOST_AUTO_TEST_CASE(gradients) {
  Initializer init = in_double();
  BOOST_TEST(layer_gradient_error(Linear::make(init, 4, 3, true), {2, 3, 4}) < gradient_limit);
  BOOST_TEST(layer_gradient_error(Linear::make(init, 4, 3, false), {2, 3, 4}) < gradient_limit);
  BOOST_TEST(layer_gradient_error(LayerNorm::make(init, 5), {2, 3, 5}) < gradient_limit);
  BOOST_TEST(layer_gradient_error(OctaveConv::make(init, 3, 2), {2, 1, 7, 3}) < gradient_limit);
  BOOST_TEST(layer_gradient_error(OctaveConv::make(init, 1, 3), {1, 2, 30, 1}) < gradient_limit);
}

BOOST_AUTO_TEST_CASE(octave_convolution_reaches_11_notes_down_and_12_up) {
  Initializer init = in_double();
  OctaveConv layer = OctaveConv::make(init, 3, 2);
  scramble_parameters(layer, 100);
  const int64_t notes = 40;
  const Tensor x = random_input({2, 1, notes, 3}, 90);
  const auto in = x.values(), weight = layer.weight.value().values(), bias = layer.bias.value().values();
  std::vector<double> expected;
  for (int64_t group = 0; group < 2; ++group)
    for (int64_t note = 0; note < notes; ++note)
      for (int64_t unit = 0; unit < 2; ++unit) {
        double y = bias[unit];
        for (int64_t channel = 0; channel < 3; ++channel)
          for (int64_t away = -11; away <= 12; ++away)
            if (note + away >= 0 && note + away < notes)
              y += weight[(unit * 3 + channel) * 24 + away + 11] * in[(group * notes + note + away) * 3 + channel];
        expected.push_back(y);
      }
  BOOST_TEST(relative_difference(layer(Var(x)).value().values(), expected) < 1e-14);
}

BOOST_AUTO_TEST_CASE(initial_weights) {
  Initializer init = in_double();
  LstmLayer layer = LstmLayer::make(init, 7, 5);
  const auto input = layer.weight_ih.value().values(), recurrent = layer.weight_hh.value().values(),
             bias = layer.bias.value().values();
  const double limit = std::sqrt(6.0 / (7 + 20)), largest = *std::max_element(input.begin(), input.end());
  BOOST_TEST(largest < limit);
  BOOST_TEST(largest > 0.9 * limit);
  BOOST_TEST(*std::min_element(input.begin(), input.end()) < -0.9 * limit);
  for (int64_t gate = 0; gate < 4; ++gate)
    for (int64_t i = 0; i < 5; ++i) {
      BOOST_TEST(bias[gate * 5 + i] == (gate == 1 ? 1.0 : 0.0));
      for (int64_t j = 0; j < 5; ++j) {
        double product = 0;
        for (int64_t k = 0; k < 5; ++k)
          product += recurrent[(gate * 5 + i) * 5 + k] * recurrent[(gate * 5 + j) * 5 + k];
        BOOST_TEST(std::abs(product - (i == j)) < 1e-14);
      }
    }
  const Tensor again = LstmLayer::make(init, 7, 5).weight_ih.value();
  BOOST_TEST(!same_bits(again, layer.weight_ih.value()), "each parameter has its own random numbers");
  Initializer same = in_double();
  BOOST_TEST(same_bits(LstmLayer::make(same, 7, 5).weight_ih.value(), layer.weight_ih.value()));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(blocks, OneThread)

BOOST_AUTO_TEST_CASE(gradients_of_lstms_along_both_axes) {
  for (BlockKind kind : {BlockKind::lstm_time, BlockKind::lstm_notes})
    for (int64_t layers : {1, 2})
      for (bool training : {false, true}) {
        Initializer init = in_double();
        const LstmBlock block = LstmBlock::make(init, lstm_block(kind, layers, 3), 0.4, 5, 0);
        BOOST_TEST(block_gradient_error(block, training) < gradient_limit,
                   "kind " << static_cast<int>(kind) << ", " << layers << " layers");
      }
}

BOOST_AUTO_TEST_CASE(lstm_drops_out_after_each_layer) {
  Initializer init = in_double();
  LstmBlock block = LstmBlock::make(init, lstm_block(BlockKind::lstm_notes, 2, 3), 0.4, 5, 0);
  const Tensor x = random_input({3, 2, 4, 5}, 90);
  ForwardContext context{.training = true, .seed = 5, .step = 9};
  ForwardContext same = context;
  const Var y = block(Var(x), context);
  Var expected(x);
  for (const LstmLayer& layer : block.layers) expected = same.dropout(layer(expected, SequenceAxis::notes), 0.4);
  BOOST_TEST(same_numbers(y.value(), expected.value()));
  const auto values = y.value().values();
  BOOST_TEST(std::count(values.begin(), values.end(), 0.0) > 0);
  BOOST_TEST(context.next_site == 2u);
}

BOOST_DATA_TEST_CASE(attention_agrees_with_plain_loops, boost::unit_test::data::make(attention_rows()), row) {
  for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
    Initializer init{.seed = 3, .dtype = dtype};
    AttentionBlock block = AttentionBlock::make(init, row.settings, row.masked, 5);
    scramble_parameters(block, 100);
    const Tensor x = random_input({3, 2, 4, 5}, 90, dtype);
    ForwardContext evaluation;
    BOOST_TEST(relative_difference(block(Var(x), evaluation).value().values(),
                                   naive_attention_block(row, values_of(block), x)) < limit_of(dtype));
  }
}

BOOST_DATA_TEST_CASE(gradients_of_attention, boost::unit_test::data::make(some_of(attention_rows())), row) {
  for (bool training : {false, true}) {
    Initializer init = in_double();
    BOOST_TEST(block_gradient_error(AttentionBlock::make(init, row.settings, row.masked, 5), training, {2, 2, 3, 5}) <
               gradient_limit);
  }
}

BOOST_AUTO_TEST_CASE(attention_has_the_parameters_it_uses_and_no_others) {
  const std::set<std::string> core{"query.weight [4,5]", "key.weight [4,5]", "value.weight [4,5]",
                                   "output.weight [5,4]"};
  const std::set<std::string> norm1{"norm1.weight [5]", "norm1.bias [5]"}, norm2{"norm2.weight [5]", "norm2.bias [5]"};
  const std::set<std::string> fed{"feed_forward.0.weight [20,5]", "feed_forward.0.bias [20]",
                                  "feed_forward.1.weight [5,20]", "feed_forward.1.bias [5]"};
  const auto check = [&](Norm norm, bool feed_forward, std::vector<std::set<std::string>> parts) {
    std::set<std::string> expected = core;
    for (const auto& part : parts) expected.insert(part.begin(), part.end());
    BlockSettings settings = attention_block(BlockKind::attention_notes);
    settings.norm = norm;
    settings.feed_forward = feed_forward;
    Initializer init = in_double();
    AttentionBlock block = AttentionBlock::make(init, settings, false, 5);
    BOOST_TEST(names_of(block) == expected, boost::test_tools::per_element());
  };
  check(Norm::none, false, {});
  check(Norm::none, true, {fed});
  check(Norm::pre, false, {norm1});
  check(Norm::post, true, {norm1, norm2, fed});
}

BOOST_AUTO_TEST_SUITE_END()
