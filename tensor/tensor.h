#pragma once
#include <memory>
#include <vector>

#include "tensor/bf16.h"
#include "tensor/device.h"
#include "tensor/shape.h"

// The tensor: numbers of one type on one device. Ops on tensors are in tensor/ops.h.
namespace poph {

enum class Dtype : uint8_t { f32, f64, i32, bf16 };

size_t bytes_of(Dtype dtype);
std::ostream& operator<<(std::ostream& out, Dtype dtype);
template <class T>
requires std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, int32_t> || std::is_same_v<T, bf16>
inline constexpr Dtype dtype_of = std::is_same_v<T, float>    ? Dtype::f32
                                  : std::is_same_v<T, double> ? Dtype::f64
                                  : std::is_same_v<T, bf16>   ? Dtype::bf16
                                                              : Dtype::i32;
// The type of its sums.
constexpr Dtype accumulate_dtype(Dtype dtype) { return dtype == Dtype::bf16 ? Dtype::f32 : dtype; }

// Row-major, contiguous numbers on one device. Copying a Tensor shares its storage; reshape and slice are
// views.
class Tensor {
 public:
  Tensor() = default;                                             // holds nothing: defined() is false
  Tensor(Shape shape, Dtype dtype, Device device = Device::cpu);  // uninitialised
  // of memory as it is, without a copy
  static Tensor from_memory(std::shared_ptr<std::byte> memory, Shape shape, Dtype dtype, Device device = Device::cpu);
  static Tensor zeros(Shape shape, Dtype dtype, Device device = Device::cpu);
  static Tensor full(Shape shape, double value, Dtype dtype, Device device = Device::cpu);
  static Tensor from(const std::vector<double>& values, Shape shape, Dtype dtype, Device device = Device::cpu);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  Device device() const { return device_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(elements()) * bytes_of(dtype_); }

  template <class T>
  T* data() const {  // Error where T is not the dtype
    require(dtype_ == dtype_of<T>, "tensor: data of type ", dtype_, " read as ", dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  void* raw() const { return storage_ ? storage_.get() + offset_bytes_ : nullptr; }

  Tensor reshape(Shape shape) const;                 // same elements, a view
  Tensor slice(int64_t first, int64_t count) const;  // [first, first+count) of axis 0, a view
  Tensor to(Device device) const;                    // itself where it is there already
  Tensor to(Dtype dtype) const;                      // converts f32, f64, bf16; itself where it is that already
  Tensor clone() const;
  void copy_from(const Tensor& other);  // same shape and dtype, any device
  double item() const;                  // the one element, read back to the host
  std::vector<double> values() const;   // every element, read back to the host

 private:
  Shape shape_;
  Dtype dtype_ = Dtype::f32;
  Device device_ = Device::cpu;
  std::shared_ptr<std::byte> storage_;
  size_t offset_bytes_ = 0;
};

using Tensors = std::vector<Tensor>;

}  // namespace poph
