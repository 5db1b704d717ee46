#include "core/tensor.hpp"

#include <utility>

namespace lockstep {
namespace {

// Gives a buffer back to where it came from. A type of its own, so that a buffer tells its size.
template <void (*release_to)(Device, void*, std::size_t)>
struct Release {
  Device device;
  std::size_t bytes;

  void operator()(std::byte* pointer) const { release_to(device, pointer, bytes); }
};
using ReleaseTensor = Release<release>;
using ReleaseStaging = Release<release_staging>;

}  // namespace

Tensor::Tensor(Shape shape, DType dtype, Device device, std::shared_ptr<std::byte> buffer)
    : buffer_(std::move(buffer)),
      row_stride_(shape.last()),
      shape_(shape),
      dtype_(dtype),
      device_(device) {}

Tensor Tensor::empty(Shape shape, DType dtype, Device device) {
  const std::size_t bytes = static_cast<std::size_t>(shape.count()) * size_of(dtype);
  return {shape, dtype, device,
          std::shared_ptr<std::byte>(static_cast<std::byte*>(allocate(device, bytes)),
                                     ReleaseTensor{device, bytes})};
}

Tensor Tensor::staging(Shape shape, DType dtype, Device peer) {
  const std::size_t bytes = static_cast<std::size_t>(shape.count()) * size_of(dtype);
  return {shape, dtype, Device{},
          std::shared_ptr<std::byte>(static_cast<std::byte*>(allocate_staging(peer, bytes)),
                                     ReleaseStaging{peer, bytes})};
}

Tensor Tensor::zeros(Shape shape, DType dtype, Device device) {
  Tensor tensor = empty(shape, dtype, device);
  tensor.fill_zero();
  return tensor;
}

std::size_t Tensor::buffer_bytes() const {
  if (const auto* own = std::get_deleter<ReleaseTensor>(buffer_)) return own->bytes;
  if (const auto* own = std::get_deleter<ReleaseStaging>(buffer_)) return own->bytes;
  return 0;
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

ByteRows Tensor::byte_rows() const {
  return {device_, bytes_at_start(), static_cast<std::size_t>(row_stride_) * size_of(dtype_)};
}

void Tensor::copy_from(const Tensor& x) {
  assert(x.shape() == shape() && x.dtype() == dtype());
  const bool flat = contiguous() && x.contiguous();
  const std::size_t row_bytes = static_cast<std::size_t>(columns()) * size_of(dtype_);
  if (flat) {
    copy_rows({device_, raw(), bytes()}, {x.device_, x.bytes_at_start(), bytes()}, bytes(), 1);
  } else {
    copy_rows(byte_rows(), x.byte_rows(), row_bytes, static_cast<std::size_t>(rows()));
  }
}

Tensor Tensor::to(Device device) const {
  if (!defined() || device == device_) return *this;
  Tensor copy = empty(shape_, dtype_, device);
  copy.copy_from(*this);
  return copy;
}

void Tensor::fill_zero() {
  if (contiguous()) {
    zero_rows({device_, raw(), bytes()}, bytes(), 1);
  } else {
    zero_rows(byte_rows(), static_cast<std::size_t>(columns()) * size_of(dtype_),
              static_cast<std::size_t>(rows()));
  }
}

}  // namespace lockstep
