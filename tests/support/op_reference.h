#pragma once
#include <cmath>
#include <vector>

#include "tensor/ops.h"

// The ops' values in double, by plain loops and functions of std: nothing here calls an op.
namespace poph::test {

struct Array {
  Shape shape;
  std::vector<double> values;

  explicit Array(Shape shape) : shape(shape), values(shape.elements()) {}
  Array(Shape shape, std::vector<double> values) : shape(shape), values(std::move(values)) {}
  explicit Array(const Tensor& x) : shape(x.shape()), values(x.values()) {}

  // The element at an index, a number for each axis; 0 outside.
  double at(std::initializer_list<int64_t> index) const {
    int64_t i = 0;
    int axis = 0;
    for (int64_t position : index) {
      const int64_t size = shape[axis++];
      if (position < 0 || position >= size) return 0;
      i = i * size + position;
    }
    return values[i];
  }
};
using Arrays = std::vector<Array>;

inline Arrays arrays_of(const Tensors& tensors) {
  Arrays arrays;
  for (const Tensor& tensor : tensors) arrays.emplace_back(tensor);
  return arrays;
}

// Calls f(index) for every index of a shape, in the order of the elements.
template <class F>
void each_index(const Shape& shape, F f) {
  int64_t index[Shape::max_rank] = {};
  for (int64_t i = 0; i < shape.elements(); ++i) {
    f(static_cast<const int64_t*>(index));
    for (int axis = shape.rank() - 1; axis >= 0 && ++index[axis] == shape[axis]; --axis) index[axis] = 0;
  }
}
template <class F>
Array array_of(const Shape& shape, F f) {  // of f(index)
  Array y(shape);
  int64_t i = 0;
  each_index(shape, [&](const int64_t* index) { y.values[i++] = f(index); });
  return y;
}

// The element of an operand of shape `own` that broadcasting puts at an index of `shape`.
inline int64_t broadcast_offset(const Shape& own, const Shape& shape, const int64_t* index) {
  int64_t i = 0;
  for (int axis = 0; axis < own.rank(); ++axis)
    i = i * own[axis] + (own[axis] == 1 ? 0 : index[shape.rank() - own.rank() + axis]);
  return i;
}
template <class F>
Array map(Array x, F f) {
  for (double& value : x.values) value = f(value);
  return x;
}
template <class F>
Array zip(const Array& a, const Array& b, F f) {  // f(a, b), which broadcast
  const Shape shape = broadcast(a.shape, b.shape);
  return array_of(shape, [&](const int64_t* i) {
    return f(a.values[broadcast_offset(a.shape, shape, i)], b.values[broadcast_offset(b.shape, shape, i)]);
  });
}
inline Array sum_over(const Array& x, const Shape& to) {
  Array y(to);
  int64_t i = 0;
  each_index(x.shape, [&](const int64_t* index) { y.values[broadcast_offset(to, x.shape, index)] += x.values[i++]; });
  return y;
}

inline double squares_of(const Array& x) {
  double total = 0;
  for (double value : x.values) total += value * value;
  return total;
}

// d sum(dy * f(inputs)) / d inputs, by central differences of fourth order.
template <class F>
Arrays slopes(F f, Arrays inputs, const Array& dy) {
  const double step = 1e-3;
  Arrays result = inputs;
  for (size_t which = 0; which < inputs.size(); ++which)
    for (size_t i = 0; i < inputs[which].values.size(); ++i) {
      double& value = inputs[which].values[i];
      const double start = value;
      const auto moved = [&](double steps) {
        value = start + steps * step;
        const Array y = f(inputs);
        double total = 0;
        for (size_t k = 0; k < y.values.size(); ++k) total += dy.values[k] * y.values[k];
        value = start;
        return total;
      };
      result[which].values[i] = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step);
    }
  return result;
}

// f(from, to) for every row of the last axis.
template <class F>
Array map_rows(const Array& x, F f) {
  Array y(x.shape);
  const int64_t width = x.shape.last();
  for (int64_t row = 0; row < x.shape.rows(); ++row) f(x.values.data() + row * width, y.values.data() + row * width);
  return y;
}
inline Array softmax_reference(const Array& x) {
  const int64_t width = x.shape.last();
  return map_rows(x, [width](const double* from, double* to) {
    double total = 0;
    for (int64_t i = 0; i < width; ++i) total += std::exp(from[i]);
    for (int64_t i = 0; i < width; ++i) to[i] = std::exp(from[i]) / total;
  });
}

struct LayerNormReference {
  Array y, normalised, inverse_deviation;
};
inline LayerNormReference layer_norm_reference(const Array& x, const Array& weight, const Array& bias, double epsilon) {
  const int64_t width = x.shape.last();
  Array deviations(Shape{x.shape.rows()});
  int64_t row = 0;
  const Array normalised = map_rows(x, [&](const double* from, double* to) {
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i) mean += from[i] / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) variance += (from[i] - mean) * (from[i] - mean) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) to[i] = (from[i] - mean) / std::sqrt(variance + epsilon);
    deviations.values[row++] = 1 / std::sqrt(variance + epsilon);
  });
  const Array scaled = zip(normalised, weight, [](double a, double b) { return a * b; });
  return {zip(scaled, bias, [](double a, double b) { return a + b; }), normalised, deviations};
}

// op(A) op(B), matrices.
inline Array product(const Array& a, const Array& b, bool transpose_a, bool transpose_b) {
  const int64_t depth = a.shape[transpose_a ? 0 : 1];
  return array_of({a.shape[transpose_a ? 1 : 0], b.shape[transpose_b ? 0 : 1]}, [&](const int64_t* i) {
    double total = 0;
    for (int64_t k = 0; k < depth; ++k)
      total += (transpose_a ? a.at({k, i[0]}) : a.at({i[0], k})) * (transpose_b ? b.at({i[1], k}) : b.at({k, i[1]}));
    return total;
  });
}

inline double drop(double x, double probability, const RandomKey& key, int64_t element) {
  return probability > 0 && key.bits(element) < probability * 4294967296.0 ? 0 : x / (1 - probability);
}

// MODEL.md "Blocks", one number at a time. From `initial` h and c where they are given, otherwise from zeros, and from
// zeros where begins[t, b] is t.
struct LstmReference {
  Array h, gates, c, y;
};
inline LstmReference lstm_reference(const Array& x, const Array& weight_ih, const Array& weight_hh, const Array& bias,
                                    SequenceAxis axis, const Arrays& initial = {}, const OutputDropout& dropout = {},
                                    const std::vector<double>& begins = {}) {
  const int64_t steps = x.shape[0], batch = x.shape[1], notes = x.shape[2], inputs = x.shape[3],
                units = weight_hh.shape[1];
  const Shape shape = x.shape.with(-1, units);
  LstmReference r{Array(shape), Array(shape.with(-1, 4 * units)), Array(shape), Array(shape)};
  const std::vector<double> zeros(units);
  const auto sigmoid = [](double z) { return 1 / (1 + std::exp(-z)); };
  for (int64_t t = 0; t < steps; ++t)
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t n = 0; n < notes; ++n) {
        const bool along_time = axis == SequenceAxis::time, first = (along_time ? t : n) == 0;
        const int64_t cell = (t * batch + b) * notes + n, before = along_time ? cell - batch * notes : cell - 1;
        const int64_t row = along_time ? b * notes + n : t * batch + b;
        const bool begun = !begins.empty() && begins[t * batch + b] == static_cast<double>(t);
        const auto state = [&](const Array& of, size_t which) {
          if (begun) return zeros.data();
          if (!first) return of.values.data() + before * units;
          return initial.empty() ? zeros.data() : initial[which].values.data() + row * units;
        };
        const double *h_before = state(r.h, 0), *c_before = state(r.c, 1), *input = x.values.data() + cell * inputs;
        for (int64_t j = 0; j < units; ++j) {
          double z[4];
          for (int gate = 0; gate < 4; ++gate) {
            const int64_t k = gate * units + j;
            z[gate] = bias.values[k];
            for (int64_t i = 0; i < inputs; ++i) z[gate] += weight_ih.values[k * inputs + i] * input[i];
            for (int64_t i = 0; i < units; ++i) z[gate] += weight_hh.values[k * units + i] * h_before[i];
            r.gates.values[cell * 4 * units + k] = gate == 2 ? std::tanh(z[gate]) : sigmoid(z[gate]);
          }
          const int64_t element = cell * units + j;
          r.c.values[element] = sigmoid(z[1]) * c_before[j] + sigmoid(z[0]) * std::tanh(z[2]);
          r.h.values[element] = sigmoid(z[3]) * std::tanh(r.c.values[element]);
          r.y.values[element] = drop(r.h.values[element], dropout.probability, dropout.key, element);
        }
      }
  return r;
}

// softmax(scale Q K' + mask) V, one query at a time, with dropout of the probabilities.
struct AttentionReference {
  Array y, log_sum_exp;
};
inline AttentionReference attention_reference(const Array& q, const Array& k, const Array& v,
                                              const AttentionSettings& settings) {
  const int64_t groups = q.shape[0], queries = q.shape[1], keys = k.shape[1], features = q.shape[2],
                width = features / settings.heads, words = (keys + 3) / 4 * 4;
  AttentionReference r{Array(q.shape), Array(Shape{groups, settings.heads, queries})};
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t head = 0; head < settings.heads; ++head)
      for (int64_t query = 0; query < queries; ++query) {
        const int64_t at = (group * queries + query) * features + head * width;
        const int64_t row = (group * settings.heads + head) * queries + query;
        std::vector<double> weights;
        double total = 0;
        // The positions of earlier pieces come first and have no weight.
        const int64_t steps = settings.begins.defined() ? settings.begins.shape()[0] : 0;
        const double begin = steps ? settings.begins.values()[query / (queries / steps) * groups + group] : 0;
        for (int64_t key = 0; key < keys; ++key) {
          const int64_t position = query + keys - queries;
          if (settings.visible_step > 0 && key / settings.visible_step > position / settings.visible_step) break;
          double score = 0;
          for (int64_t i = 0; i < width; ++i)
            score += q.values[at + i] * k.values[(group * keys + key) * features + head * width + i];
          const bool hidden = steps && static_cast<double>(key / (queries / steps)) < begin;
          weights.push_back(hidden ? 0 : std::exp(settings.scale * score));
          total += weights.back();
        }
        r.log_sum_exp.values[row] = std::log(total);
        for (int64_t key = 0; key < static_cast<int64_t>(weights.size()); ++key) {
          const double weight = drop(weights[key] / total, settings.dropout, settings.key, row * words + key);
          for (int64_t i = 0; i < width; ++i)
            r.y.values[at + i] += weight * v.values[(group * keys + key) * features + head * width + i];
        }
      }
  return r;
}

}  // namespace poph::test
