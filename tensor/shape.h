#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "tensor/error.h"

// The shape of a tensor, and how two shapes broadcast.
namespace poph {

// Sizes of up to six axes, the last one contiguous. An empty shape is a scalar.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    for (int64_t size : sizes) append(size);
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return sizes_[wrap(axis)]; }  // -1 is the last axis
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= sizes_[i];
    return n;
  }
  int64_t last() const { return rank_ ? sizes_[rank_ - 1] : 1; }
  int64_t rows() const { return last() ? elements() / last() : 0; }  // all axes but the last, as one

  void append(int64_t size) {
    require(rank_ < max_rank, "shape: more than ", max_rank, " axes");
    require(size >= 0, "shape: an axis of size ", size);
    sizes_[rank_++] = size;
  }
  Shape with(int axis, int64_t size) const {
    Shape other = *this;
    other.sizes_[wrap(axis)] = size;
    return other;
  }
  int wrap(int axis) const {
    const int wrapped = axis < 0 ? axis + rank_ : axis;
    require(wrapped >= 0 && wrapped < rank_, "shape: axis ", axis, " of ", *this);
    return wrapped;
  }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if (sizes_[i] != other.sizes_[i]) return false;
    return true;
  }
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << '[';
    for (int i = 0; i < shape.rank_; ++i) out << (i ? "," : "") << shape.sizes_[i];
    return out << ']';
  }

 private:
  std::array<int64_t, max_rank> sizes_{};
  int rank_ = 0;
};

// The shape that two shapes broadcast to, as NumPy does it. `op`: whose error it is where they do not fit.
inline Shape broadcast(const Shape& a, const Shape& b, const char* op = "broadcast") {
  Shape shape = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  for (int axis = -1; axis >= -shorter.rank(); --axis) {
    require(shape[axis] == shorter[axis] || shape[axis] == 1 || shorter[axis] == 1, op, ": shapes ", a, " and ", b,
            " do not fit");
    if (shape[axis] == 1) shape = shape.with(axis, shorter[axis]);
  }
  return shape;
}

}  // namespace poph
