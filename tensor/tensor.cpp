#include "tensor/tensor.h"

#include <ostream>

#include "tensor/ops.h"

// A tensor is a share in an allocated block, a place in it, a shape and a type. Views differ in place and shape alone.
namespace poph {

size_t bytes_of(Dtype dtype) { return dtype == Dtype::f64 ? 8 : dtype == Dtype::bf16 ? 2 : 4; }

std::ostream& operator<<(std::ostream& out, Dtype dtype) {
  return out << (dtype == Dtype::f32 ? "f32" : dtype == Dtype::f64 ? "f64" : dtype == Dtype::bf16 ? "bf16" : "i32");
}

Tensor::Tensor(Shape shape, Dtype dtype, Device device)
    : shape_(shape), dtype_(dtype), device_(device), storage_(allocate(device, shape.elements() * bytes_of(dtype))) {}

Tensor Tensor::from_memory(std::shared_ptr<std::byte> memory, Shape shape, Dtype dtype, Device device) {
  Tensor made;
  made.shape_ = shape;
  made.dtype_ = dtype;
  made.device_ = device;
  made.storage_ = std::move(memory);
  return made;
}

Tensor Tensor::zeros(Shape shape, Dtype dtype, Device device) {
  Tensor made(shape, dtype, device);
  set_zero(made.raw(), device, made.bytes());
  return made;
}

Tensor Tensor::full(Shape shape, double value, Dtype dtype, Device device) {
  Tensor made(shape, dtype, device);
  fill(made, value);
  return made;
}

Tensor Tensor::from(const std::vector<double>& values, Shape shape, Dtype dtype, Device device) {
  require(static_cast<int64_t>(values.size()) == shape.elements(), "tensor: ", values.size(), " values for shape ",
          shape);
  Tensor made(shape, dtype);
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == Dtype::f32) made.data<float>()[i] = static_cast<float>(values[i]);
    if (dtype == Dtype::f64) made.data<double>()[i] = values[i];
    if (dtype == Dtype::bf16) made.data<bf16>()[i] = bf16(static_cast<float>(values[i]));
    if (dtype == Dtype::i32) made.data<int32_t>()[i] = static_cast<int32_t>(values[i]);
  }
  return made.to(device);
}

Tensor Tensor::reshape(Shape shape) const {
  require(shape.elements() == elements(), "reshape: ", shape_, " holds ", elements(), " elements, ", shape, " needs ",
          shape.elements());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::slice(int64_t first, int64_t count) const {
  require(shape_.rank() > 0 && first >= 0 && count >= 0 && first + count <= shape_[0], "slice: [", first, ", ",
          first + count, ") of axis 0 of ", shape_);
  Tensor view = *this;
  view.shape_ = shape_.with(0, count);
  view.offset_bytes_ += shape_[0] ? bytes() / shape_[0] * first : 0;
  return view;
}

Tensor Tensor::to(Device device) const {
  if (device == device_ || !defined()) return *this;
  Tensor there(shape_, dtype_, device);
  there.copy_from(*this);
  return there;
}

Tensor Tensor::to(Dtype dtype) const { return dtype == dtype_ || !defined() ? *this : convert(*this, dtype); }

Tensor Tensor::clone() const {
  if (!defined()) return *this;
  Tensor copy(shape_, dtype_, device_);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& other) {
  require(shape_ == other.shape_ && dtype_ == other.dtype_, "copy: into ", dtype_, " ", shape_, " from ", other.dtype_,
          " ", other.shape_);
  copy_bytes(raw(), device_, other.raw(), other.device_, bytes());
}

double Tensor::item() const {
  require(elements() == 1, "item: of a tensor of shape ", shape_);
  return values()[0];
}

std::vector<double> Tensor::values() const {
  require(defined(), "values: of an undefined tensor");
  const Tensor here = to(Device::cpu);
  std::vector<double> result(elements());
  for (size_t i = 0; i < result.size(); ++i) {
    if (dtype_ == Dtype::f32) result[i] = here.data<float>()[i];
    if (dtype_ == Dtype::f64) result[i] = here.data<double>()[i];
    if (dtype_ == Dtype::bf16) result[i] = here.data<bf16>()[i];
    if (dtype_ == Dtype::i32) result[i] = here.data<int32_t>()[i];
  }
  return result;
}

}  // namespace poph
