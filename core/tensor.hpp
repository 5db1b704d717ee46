// A counted handle to row-major memory: copying a Tensor copies the handle, never the data.
// The last dimension is contiguous; rows (all other dimensions, flattened) may be further apart
// than the last dimension is long (a view of columns): q, k and v are such views of one fused
// matrix.
#pragma once

#include <algorithm>
#include <cassert>
#include <memory>
#include <vector>

#include "core/device.hpp"
#include "core/dtype.hpp"
#include "core/shape.hpp"

namespace lockstep {

class Tensor {
 public:
  Tensor() = default;  // empty: defined() is false

  static Tensor empty(Shape shape, DType dtype, Device device = {});  // uninitialised
  static Tensor zeros(Shape shape, DType dtype, Device device = {});
  // On the CPU, in memory that `peer` copies from and to at full speed (core/device.hpp).
  static Tensor staging(Shape shape, DType dtype, Device peer);
  template <typename T>
  static Tensor from(const std::vector<T>& values, Shape shape);  // on the CPU, copies

  bool defined() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return device_; }

  index_t count() const { return shape_.count(); }
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * size_of(dtype_); }
  index_t columns() const { return shape_.last(); }
  index_t rows() const { return columns() == 0 ? 0 : count() / columns(); }
  index_t row_stride() const { return row_stride_; }  // elements from one row to the next
  bool contiguous() const { return row_stride_ == columns() || rows() <= 1; }

  template <typename T>
  T* data() {
    assert(dtype_of<T> == dtype_);
    return reinterpret_cast<T*>(bytes_at_start());
  }
  template <typename T>
  const T* data() const {
    assert(dtype_of<T> == dtype_);
    return reinterpret_cast<const T*>(bytes_at_start());
  }
  void* raw() { return bytes_at_start(); }
  const void* raw() const { return bytes_at_start(); }
  // The memory that views share: which it is, and all of its bytes.
  const void* buffer() const { return buffer_.get(); }
  std::size_t buffer_bytes() const;

  // Views share the memory and keep it alive.
  Tensor reshape(Shape shape) const;                        // contiguous only, same count
  Tensor column_range(index_t first, index_t count) const;  // of the last dimension
  Tensor range(index_t first, index_t count) const;         // of dimension 0; contiguous only
  Tensor as_matrix() const;                                 // (rows, columns), strides kept

  Tensor clone() const;             // contiguous copy on the same device
  void copy_from(const Tensor& x);  // same shape and dtype; any device
  // This tensor where it is on the device already, else a contiguous copy there.
  Tensor to(Device device) const;
  void fill_zero();

 private:
  Tensor(Shape shape, DType dtype, Device device, std::shared_ptr<std::byte> buffer);

  std::byte* bytes_at_start() const;
  ByteRows byte_rows() const;

  std::shared_ptr<std::byte> buffer_;
  index_t offset_ = 0;  // elements
  index_t row_stride_ = 0;
  Shape shape_;
  DType dtype_ = DType::f32;
  Device device_;
};

template <typename T>
Tensor Tensor::from(const std::vector<T>& values, Shape shape) {
  assert(static_cast<index_t>(values.size()) == shape.count());
  Tensor tensor = empty(shape, dtype_of<T>);
  std::copy(values.begin(), values.end(), tensor.data<T>());
  return tensor;
}

}  // namespace lockstep
