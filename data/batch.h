#pragma once
#include <utility>
#include <vector>

#include "tensor/note_features.h"
#include "tensor/tensor.h"

// What a model reads in one training step or validation step, time first: what an LSTM reads at once lies together.
namespace poph {

// T steps of B windows or lanes (MODEL.md "Windows"). Tensors of one device; f32 or f64 unless said.
struct Batch {
  Tensor input, target;  // [T, B, notes, channels]
  Tensor beat;           // [T, B, 16]: the input step's place in its bar, one-hot; zeros before the piece
  // For a model with match features: [T, B, notes, features]; else undefined.
  Tensor match = {};
  // For a model with styles: [T, B, styles], the shares of the styles of the target step's piece, which sum to 1.
  Tensor style = {};

  // The rest is undefined where all steps are there and every state begins from zero.
  // i32 [T, B]: the step of this batch with which the piece of this step begins, from zero state. -1: it began before
  // the batch, whose first step takes the state that is carried.
  Tensor begins = {};
  Tensor weight = {};       // [T, B]: a step's weight in the losses' means; 0 where there is no step
  Tensor span_weight = {};  // [T / span, B]: the same of the spans of the harmony loss

  Batch to(Device device) const {
    Batch there = *this;
    there.each([&](Tensor& tensor) { tensor = tensor.to(device); });
    return there;
  }
  // Every tensor that is defined.
  template <class F>
  void each(F f) {
    for (Tensor* tensor : {&input, &target, &beat, &match, &style, &begins, &weight, &span_weight})
      if (tensor->defined()) f(*tensor);
  }
};

// Which tensors a Batch has, and their shapes.
struct BatchLayout {
  int64_t steps = 0, columns = 0, notes = 0, channels = 3;
  Dtype dtype = Dtype::f32;
  int64_t match_features = 0;  // 0: no `match`
  int64_t styles = 0;          // 0: no `style`
  bool begins = false, weights = false;
  int64_t span = 1;  // of the harmony loss

  struct Part {
    Tensor Batch::*tensor;
    Shape shape;
    Dtype dtype;
  };
  std::vector<Part> parts() const {
    const Shape roll{steps, columns, notes, channels};
    std::vector<Part> list{{&Batch::input, roll, dtype},
                           {&Batch::target, roll, dtype},
                           {&Batch::beat, {steps, columns, beat_width}, dtype}};
    if (match_features > 0) list.push_back({&Batch::match, {steps, columns, notes, match_features}, dtype});
    if (styles > 0) list.push_back({&Batch::style, {steps, columns, styles}, dtype});
    if (begins) list.push_back({&Batch::begins, {steps, columns}, Dtype::i32});
    if (weights) list.push_back({&Batch::weight, {steps, columns}, dtype});
    if (weights) list.push_back({&Batch::span_weight, {steps / span, columns}, dtype});
    return list;
  }
  Batch make() const {  // on the CPU, with values of no meaning
    Batch batch;
    for (const Part& part : parts()) batch.*part.tensor = Tensor(part.shape, part.dtype);
    return batch;
  }
};

}  // namespace poph
