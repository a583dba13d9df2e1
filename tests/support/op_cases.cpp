#include "tests/support/op_cases.h"

#include <algorithm>
#include <functional>

#include "tensor/optimizer.h"

// A row: name, shapes of the inputs, the call of the op, the expected values. The inputs are normal numbers, none of
// them within 0.05 of 0.
namespace poph::test {
namespace {

using In = const Tensors&;
using Of = const Arrays&;

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
// The nearest number of 8 binary digits, as bf16 has them; of two equally near the even one.
double rounded_to_bf16(double x) {
  int exponent;
  const double fraction = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

}  // namespace

std::vector<ElementwiseFunction> elementwise_functions() {
  return {
      {"scale", [](const auto& x) { return scale(x, -0.3); }, [](double x) { return -0.3 * x; }},
      {"sigmoid", [](const auto& x) { return sigmoid(x); }, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"tanh", [](const auto& x) { return tanh(x); }, [](double x) { return 1 - 2 / (std::exp(2 * x) + 1); }},
      {"relu", [](const auto& x) { return relu(x); }, [](double x) { return x > 0 ? x : 0; }},
      {"square", [](const auto& x) { return square(x); }, [](double x) { return x * x; }},
  };
}

namespace {

void add_elementwise(std::vector<OpCase>& cases, const Shape& cube) {
  for (const ElementwiseFunction& f : elementwise_functions()) {
    cases.push_back({f.name,
                     {cube},
                     [f](In x) { return Tensors{f.op(x[0])}; },
                     [f](Of x) { return Arrays{map(x[0], f.formula)}; }});
    const auto gradient = [f](In x) {
      const Var leaf(x[0], true);
      backward(sum(mul(f.function(leaf), Var(x[1]))));
      return Tensors{leaf.gradient()};
    };
    const auto formula = [f](Of x) { return slopes([f](Of y) { return map(y[0], f.formula); }, {x[0]}, x[1]); };
    cases.push_back({f.name + ", gradient", {cube, cube}, gradient, formula});
  }
  // clang-format off
  const std::vector<OpCase> rows{
      {"fill", {cube}, [](In x) { Tensor y = x[0].clone(); fill(y, 2.5); return Tensors{y}; },
       [](Of x) { return Arrays{map(x[0], [](double) { return 2.5; })}; }},
      {"convert", {cube},
       [](In x) { return Tensors{convert(x[0], Dtype::f32), convert(x[0], Dtype::f64), convert(x[0], Dtype::bf16)}; },
       [](Of x) {
         const auto rounded = [](double value) { return static_cast<double>(static_cast<float>(value)); };
         return Arrays{map(x[0], rounded), x[0], map(map(x[0], rounded), rounded_to_bf16)};
       }},
      {"add", {cube, cube}, [](In x) { return Tensors{add(x[0], x[1])}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::plus())}; }},
      {"add a row", {cube, {17}}, [](In x) { return Tensors{add(x[0], x[1]), add(x[1], x[0])}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::plus()), zip(x[0], x[1], std::plus())}; }},
      {"add_bias", {cube, {17}}, [](In x) { return Tensors{add_bias(x[0], wide(x[1]))}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::plus())}; }},
      {"add_into", {cube, cube}, [](In x) { Tensor y = x[0].clone(); add_into(y, x[1]); return Tensors{y}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::plus())}; }},
      {"sub a number", {cube, {}}, [](In x) { return Tensors{sub(x[0], x[1]), sub(x[1], x[0])}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::minus()), zip(x[1], x[0], std::minus())}; }},
      {"mul a middle axis", {cube, cube.with(1, 1)}, [](In x) { return Tensors{mul(x[0], x[1]), mul(x[1], x[0])}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::multiplies()), zip(x[0], x[1], std::multiplies())}; }},
      {"mul an outer product", {{cube[0], 1}, {1, 61}}, [](In x) { return Tensors{mul(x[0], x[1])}; },
       [](Of x) { return Arrays{zip(x[0], x[1], std::multiplies())}; }},
      {"bce_with_logits", {cube, cube}, [](In x) { return Tensors{bce_with_logits(x[0], sigmoid(x[1]))}; },
       [](Of x) {
         return Arrays{zip(x[0], x[1], [](double logit, double other) {
           const double p = logistic(logit), target = logistic(other);
           return -target * std::log(p) - (1 - target) * std::log(1 - p);
         })};
       }},
      {"bce_with_logits_grad", {cube, cube, cube},
       [](In x) { return Tensors{bce_with_logits_grad(x[0], sigmoid(x[1]), x[2])}; },
       [](Of x) {
         const auto slope = [](double logit, double other) { return logistic(logit) - logistic(other); };
         return Arrays{zip(zip(x[0], x[1], slope), x[2], std::multiplies())};
       }},
  };
  // clang-format on
  cases.insert(cases.end(), rows.begin(), rows.end());
}

void add_sums_and_rows(std::vector<OpCase>& cases, const Shape& cube) {
  const int64_t n = cube[0];
  // clang-format off
  const std::vector<OpCase> rows{
      {"sum_to", {cube}, [n](In x) {
         return Tensors{sum_to(x[0], {17}), sum_to(x[0], {3, 17}), sum_to(x[0], {n, 3, 1}), sum_to(x[0], {n, 1, 17}),
                        sum_to(x[0], {1, 3, 1})};
       }, [n](Of x) {
         return Arrays{sum_over(x[0], {17}), sum_over(x[0], {3, 17}), sum_over(x[0], {n, 3, 1}),
                       sum_over(x[0], {n, 1, 17}), sum_over(x[0], {1, 3, 1})};
       }},
      {"sum", {cube}, [](In x) { return Tensors{sum(x[0])}; }, [](Of x) { return Arrays{sum_over(x[0], {})}; }},
      {"sums_of_squares", {cube, {n}},
       [](In x) { return Tensors{sums_of_squares({wide(x[0]), Tensor(), wide(x[1])})}; },
       [](Of x) { return Arrays{{Shape{3}, {squares_of(x[0]), 0, squares_of(x[1])}}}; }},
      {"count_nonfinite", {cube}, [](In x) { return Tensors{Tensor::full({}, count_nonfinite(x[0]), Dtype::f64)}; },
       [](Of) { return Arrays{Array(Shape{})}; }},
      {"softmax", {cube}, [](In x) { return Tensors{softmax(x[0])}; },
       [](Of x) { return Arrays{softmax_reference(x[0])}; }},
      {"softmax_grad", {cube, cube}, [](In x) { return Tensors{softmax_grad(x[0], x[1])}; }, [n](Of x) {
         const auto times = std::multiplies();
         const Array total = sum_over(zip(x[0], x[1], times), {n, 3, 1});
         return Arrays{zip(x[0], zip(x[1], total, std::minus()), times)};
       }},
      {"softmax, gradient", {cube, cube}, [](In x) { return Tensors{softmax_grad(softmax(x[0]), x[1])}; },
       [](Of x) { return slopes([](Of y) { return softmax_reference(y[0]); }, {x[0]}, x[1]); }},
      {"layer_norm", {cube, {17}, {17}}, [](In x) {
         const LayerNormResult r = layer_norm(x[0], wide(x[1]), wide(x[2]), 1e-5);
         return Tensors{r.y, r.normalised, r.inverse_deviation};
       }, [](Of x) {
         const LayerNormReference r = layer_norm_reference(x[0], x[1], x[2], 1e-5);
         return Arrays{r.y, r.normalised, r.inverse_deviation};
       }},
      {"layer_norm_grad", {cube, {17}, {17}, cube}, [](In x) {
         const LayerNormGradients g = layer_norm_grad(layer_norm(x[0], wide(x[1]), wide(x[2]), 1e-5), wide(x[1]), x[3]);
         return Tensors{g.dx, g.dweight, g.dbias};
       }, [](Of x) {
         return slopes([](Of y) { return layer_norm_reference(y[0], y[1], y[2], 1e-5).y; }, {x[0], x[1], x[2]}, x[3]);
       }},
      {"min_last", {cube}, [](In x) { const MinResult r = min_last(x[0]); return Tensors{r.value, r.index}; },
       [n](Of x) {
         Array value({n, 3}), index({n, 3});
         for (int64_t row = 0; row < 3 * n; ++row) {
           const auto begin = x[0].values.begin() + row * 17, least = std::min_element(begin, begin + 17);
           value.values[row] = *least;
           index.values[row] = static_cast<double>(least - begin);
         }
         return Arrays{value, index};
       }},
      {"min_last_grad", {cube, {n, 3}}, [](In x) { return Tensors{min_last_grad(min_last(x[0]).index, x[1], 17)}; },
       [n](Of x) {
         Array dx(x[0].shape);
         for (int64_t row = 0; row < 3 * n; ++row) {
           const auto begin = x[0].values.begin() + row * 17;
           dx.values[std::min_element(begin, begin + 17) - x[0].values.begin()] = x[1].values[row];
         }
         return Arrays{dx};
       }},
  };
  // clang-format on
  cases.insert(cases.end(), rows.begin(), rows.end());
}

void add_moves(std::vector<OpCase>& cases, const Shape& cube) {
  const int64_t n = cube[0];
  // clang-format off
  const std::vector<OpCase> rows{
      {"concat_last", {cube, {n, 3, 1}, {n, 3, 5}}, [](In x) { return Tensors{concat_last(x)}; }, [n](Of x) {
         return Arrays{array_of({n, 3, 23}, [&](const int64_t* i) {
           return x[0].at({i[0], i[1], i[2]}) + x[1].at({i[0], i[1], i[2] - 17}) + x[2].at({i[0], i[1], i[2] - 18});
         })};
       }},
      {"slice_last", {cube}, [](In x) { return Tensors{slice_last(x[0], 3, 11)}; }, [n](Of x) {
         return Arrays{array_of({n, 3, 11}, [&](const int64_t* i) { return x[0].at({i[0], i[1], i[2] + 3}); })};
       }},
      {"slice_last_grad", {cube}, [](In x) { return Tensors{slice_last_grad(x[0], 2, 23)}; }, [n](Of x) {
         return Arrays{array_of({n, 3, 23}, [&](const int64_t* i) { return x[0].at({i[0], i[1], i[2] - 2}); })};
       }},
      {"flip", {cube}, [](In x) { return Tensors{flip(x[0], 0), flip(x[0], 1), flip(x[0], -1)}; }, [n, cube](Of x) {
         return Arrays{array_of(cube, [&](const int64_t* i) { return x[0].at({n - 1 - i[0], i[1], i[2]}); }),
                       array_of(cube, [&](const int64_t* i) { return x[0].at({i[0], 2 - i[1], i[2]}); }),
                       array_of(cube, [&](const int64_t* i) { return x[0].at({i[0], i[1], 16 - i[2]}); })};
       }},
      {"shift", {cube}, [](In x) { return Tensors{shift(x[0], 0, 2), shift(x[0], 1, -1), shift(x[0], 2, 40)}; },
       [cube](Of x) {
         return Arrays{array_of(cube, [&](const int64_t* i) { return x[0].at({i[0] - 2, i[1], i[2]}); }),
                       array_of(cube, [&](const int64_t* i) { return x[0].at({i[0], i[1] + 1, i[2]}); }), Array(cube)};
       }},
      {"permute", {{3, n, 27, 3}},
       [](In x) { return Tensors{permute(x[0], {2, 0, 3, 1}), permute(x[0], {1, 0, 2, 3})}; },
       [n](Of x) {
         return Arrays{array_of({27, 3, 3, n}, [&](const int64_t* i) { return x[0].at({i[1], i[3], i[0], i[2]}); }),
                       array_of({n, 3, 27, 3}, [&](const int64_t* i) { return x[0].at({i[1], i[0], i[2], i[3]}); })};
       }},
      {"unfold_notes", {{3, n, 27, 3}}, [](In x) { return Tensors{unfold_notes(x[0], 24, 11)}; }, [n](Of x) {
         return Arrays{array_of({3, n, 27, 3 * 24}, [&](const int64_t* i) {
           return x[0].at({i[0], i[1], i[2] + i[3] % 24 - 11, i[3] / 24});
         })};
       }},
      {"unfold_notes_grad", {{3, n, 27, 15}}, [](In x) { return Tensors{unfold_notes_grad(x[0], 3, 5, 2)}; },
       [n](Of x) {
         return Arrays{array_of({3, n, 27, 3}, [&](const int64_t* i) {
           double total = 0;
           for (int64_t k = 0; k < 5; ++k) total += x[0].at({i[0], i[1], i[2] - k + 2, i[3] * 5 + k});
           return total;
         })};
       }},
  };
  // clang-format on
  cases.insert(cases.end(), rows.begin(), rows.end());
}

// MODEL.md "Note features".
Array note_features_reference(Of x, int64_t lowest_note, bool descending) {
  const int64_t notes = x[0].shape[2], units = x[1].shape[3];
  return array_of(x[0].shape.with(-1, 1 + 12 + 1 + units + 16), [&](const int64_t* i) {
    const int64_t note = descending ? notes - 1 - i[2] : i[2], place = i[3];
    if (place == 0) return static_cast<double>(note) / static_cast<double>(notes);
    if (place <= 12) return (lowest_note + note) % 12 == place - 1 ? 1.0 : 0.0;
    if (place > 13 + units) return x[2].at({i[0], i[1], place - 14 - units});
    if (place > 13) return x[1].at({i[0], i[1], note, place - 14});
    double count = 0;
    for (int64_t other = 0; other < notes; ++other)
      if ((other - note) % 12 == 0) count += x[0].at({i[0], i[1], other, 0});
    return count;
  });
}

Array relative_classes_reference(Of x, bool descending) {
  const int64_t notes = x[0].shape[2];
  return array_of(x[0].shape.with(-1, 11), [&](const int64_t* i) {
    const int64_t note = descending ? notes - 1 - i[2] : i[2];
    double count = 0;
    for (int64_t other = 0; other < notes; ++other)
      if ((other - note - 1 - i[3]) % 12 == 0) count += x[0].at({i[0], i[1], other, 0});
    return count;
  });
}

void add_products_and_features(std::vector<OpCase>& cases, const Shape& cube) {
  const int64_t n = cube[0];
  // clang-format off
  const std::vector<OpCase> rows{
      {"matmul", {{n, 37}, {37, 2 * n + 1}},
       [](In x) { return Tensors{matmul(x[0], x[1]), matmul(x[1], x[0], true, true)}; },
       [](Of x) { return Arrays{product(x[0], x[1], false, false), product(x[1], x[0], true, true)}; }},
      {"matmul of transposes", {{n, 37}, {n, 29}, {2 * n + 1, 37}},
       [](In x) { return Tensors{matmul(x[0], x[1], true, false), matmul(x[0], x[2], false, true)}; },
       [](Of x) { return Arrays{product(x[0], x[1], true, false), product(x[0], x[2], false, true)}; }},
      {"linear", {cube, {19, 17}, {19}}, [](In x) {
         return Tensors{linear(x[0], x[1], wide(x[2])), linear(x[0], x[1], {}), linear(x[0], x[1], wide(x[2]), true)};
       }, [n](Of x) {
         Array y = product(Array({3 * n, 17}, x[0].values), x[1], false, true);
         y.shape = {n, 3, 19};
         return Arrays{zip(y, x[2], std::plus()), y, zip(y, x[2], std::plus())};
       }},
      {"note_features", {{3, n, 27, 3}, {3, n, 27, 5}, {3, n, 16}}, [](In x) {
         return Tensors{note_features(x[0], x[1], x[2], 36, false), note_features(x[0], x[1], x[2], 41, true)};
       }, [](Of x) { return Arrays{note_features_reference(x, 36, false), note_features_reference(x, 41, true)}; }},
      {"relative_class_counts", {{3, n, 27, 3}},
       [](In x) { return Tensors{relative_class_counts(x[0], false), relative_class_counts(x[0], true)}; },
       [](Of x) { return Arrays{relative_classes_reference(x, false), relative_classes_reference(x, true)}; }},
      {"note_features_grad", {{3, n, 27, 35}}, [](In x) {
         return Tensors{note_features_grad(x[0], 5, false), note_features_grad(x[0], 5, true)};
       }, [n](Of x) {
         const Shape shape{3, n, 27, 5};
         return Arrays{array_of(shape, [&](const int64_t* i) { return x[0].at({i[0], i[1], i[2], 14 + i[3]}); }),
                       array_of(shape, [&](const int64_t* i) { return x[0].at({i[0], i[1], 26 - i[2], 14 + i[3]}); })};
       }},
  };
  // clang-format on
  cases.insert(cases.end(), rows.begin(), rows.end());
}

void add_random(std::vector<OpCase>& cases, const Shape& cube) {
  const auto uniform = [](int64_t element) { return static_cast<double>(case_key.bits(element) >> 8) / 16777216; };
  const auto numbered = [cube](auto f) {  // of each element's number
    Array y(cube);
    for (int64_t i = 0; i < cube.elements(); ++i) y.values[i] = f(i);
    return Arrays{y};
  };
  const auto normal = [uniform](int64_t i) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform(i / 2 * 2))), angle = 2 * M_PI * uniform(i / 2 * 2 + 1);
    return radius * (i % 2 ? std::sin(angle) : std::cos(angle));
  };
  const auto dropped = [](Of x) {
    Array y = x[0];
    for (size_t i = 0; i < y.values.size(); ++i)
      y.values[i] = drop(y.values[i], 0.4, case_key, static_cast<int64_t>(i));
    return Arrays{y};
  };
  // clang-format off
  cases.push_back({"random_uniform", {cube}, [](In x) {
                     return Tensors{random_uniform(x[0].shape(), -1, 3, case_key, x[0].dtype(), x[0].device())};
                   }, [=](Of) { return numbered([=](int64_t i) { return -1 + 4 * uniform(i); }); }});
  cases.push_back({"random_normal", {cube}, [](In x) {
                     return Tensors{random_normal(x[0].shape(), case_key, x[0].dtype(), x[0].device())};
                   }, [=](Of) { return numbered(normal); }});
  cases.push_back({"dropout", {cube}, [](In x) { return Tensors{dropout(x[0], 0.4, case_key)}; }, dropped});
  // clang-format on
}

}  // namespace

std::vector<OpCase> op_cases(int64_t n) { return op_cases(n, n); }

std::vector<OpCase> op_cases(int64_t n, int64_t layer_n) {
  const Shape cube{n, 3, 17};
  std::vector<OpCase> cases;
  add_elementwise(cases, cube);
  add_sums_and_rows(cases, cube);
  add_moves(cases, cube);
  add_products_and_features(cases, cube);
  add_random(cases, cube);
  add_layer_cases(cases, layer_n);
  return cases;
}

}  // namespace poph::test
