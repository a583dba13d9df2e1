#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tests/support/op_reference.h"
#include "tests/support/support.h"

// The table of every op. One row gives an op all of its tests: that its values are those of an independent formula,
// that they do not depend on the number of threads (tests/tensor/test_ops.cpp), that bf16 comes near float32
// (test_bf16.cpp) and the GPU near the CPU (test_cuda.cpp).
namespace poph::test {

// One call of a raw op: results as a function of inputs, on the inputs' device and in their dtype.
struct OpCase {
  std::string name;
  std::vector<Shape> shapes;
  std::function<Tensors(const Tensors&)> run;
  std::function<Arrays(const Arrays&)> expected = {};  // the same results, by a formula that calls no op
};
// `n` is the size of the axis that makes a case large.
std::vector<OpCase> op_cases(int64_t n, int64_t layer_n);  // the rows of whole layers in a size of their own
std::vector<OpCase> op_cases(int64_t n);
void add_layer_cases(std::vector<OpCase>& cases, int64_t n);  // the share of layer_cases.cpp
inline std::ostream& operator<<(std::ostream& out, const OpCase& op) { return out << op.name; }

constexpr RandomKey case_key{.seed = 7, .site = 3, .step = 11};                    // of the cases with random numbers
inline Tensor wide(const Tensor& x) { return x.to(accumulate_dtype(x.dtype())); }  // float32 beside bf16 tensors

// A function of one argument that is applied to each element. Its row is in op_cases twice, as the op and as its
// gradient, and among the gradients of tests/autograd/test_gradients.cpp.
struct ElementwiseFunction {
  std::string name;
  std::function<Tensor(const Tensor&)> op;
  std::function<Var(const Var&)> function;
  std::function<double(double)> formula;

  template <class F>
  ElementwiseFunction(std::string name, F f, std::function<double(double)> formula)
      : name(std::move(name)), op(f), function(f), formula(std::move(formula)) {}
};
std::vector<ElementwiseFunction> elementwise_functions();

}  // namespace poph::test
