#include "core/tensor.hpp"

#include <algorithm>
#include <cstring>

namespace lockstep {

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.device_ = device;
  tensor.row_stride_ = shape.last();
  const std::size_t bytes = tensor.bytes();
  tensor.buffer_ = std::shared_ptr<std::byte>(
      static_cast<std::byte*>(allocate(device, bytes)),
      [device, bytes](std::byte* pointer) { release(device, pointer, bytes); });
  return tensor;
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.fill_zero();
  return tensor;
}

std::byte* Tensor::bytes_at_start() const {
  return buffer_.get() + static_cast<std::size_t>(offset_) * size_of(dtype_);
}

Tensor Tensor::reshape(Shape shape) const {
  assert(contiguous() && shape.count() == count());
  Tensor view = *this;
  view.shape_ = shape;
  view.row_stride_ = shape.last();
  return view;
}

Tensor Tensor::column_range(index_t first, index_t count) const {
  assert(first >= 0 && count >= 0 && first + count <= columns());
  Tensor view = *this;
  view.shape_ = shape_.with(shape_.dims() - 1, count);
  view.offset_ += first;
  return view;
}

Tensor Tensor::range(index_t first, index_t count) const {
  assert(contiguous() && first >= 0 && count >= 0 && first + count <= shape_[0]);
  Tensor view = *this;
  view.offset_ += first * (shape_[0] == 0 ? 0 : this->count() / shape_[0]);
  view.shape_ = shape_.with(0, count);
  view.row_stride_ = view.shape_.last();
  return view;
}

Tensor Tensor::as_matrix() const {
  Tensor view = *this;
  view.shape_ = Shape{rows(), columns()};
  return view;
}

Tensor Tensor::clone() const {
  Tensor copy = empty(shape_, dtype_, device_);
  copy.copy_from(*this);
  return copy;
}

void Tensor::copy_from(const Tensor& x) {
  assert(x.shape() == shape() && x.dtype() == dtype());
  if (count() == 0) return;
  if (contiguous() && x.contiguous()) {
    std::memmove(raw(), x.raw(), bytes());
    return;
  }
  const std::size_t size = size_of(dtype_);
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(raw());
  for (index_t row = 0; row < rows(); ++row) {
    std::memcpy(to + static_cast<std::size_t>(row * row_stride()) * size,
                from + static_cast<std::size_t>(row * x.row_stride()) * size,
                static_cast<std::size_t>(columns()) * size);
  }
}

void Tensor::fill_zero() {
  const std::size_t size = size_of(dtype_);
  if (contiguous()) {
    std::memset(raw(), 0, bytes());
    return;
  }
  for (index_t row = 0; row < rows(); ++row) {
    std::memset(
        static_cast<std::byte*>(raw()) + static_cast<std::size_t>(row * row_stride()) * size, 0,
        static_cast<std::size_t>(columns()) * size);
  }
}

}  // namespace lockstep
