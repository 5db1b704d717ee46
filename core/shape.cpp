#include "core/shape.hpp"

#include <cassert>

namespace lockstep {

Shape::Shape(std::initializer_list<index_t> sizes) : dims_(static_cast<int>(sizes.size())) {
  assert(dims_ <= max_dims);
  std::size_t dim = 0;
  for (index_t size : sizes) {
    assert(size >= 0);
    sizes_[dim++] = size;
  }
}

index_t Shape::count() const {
  index_t count = 1;
  for (int dim = 0; dim < dims_; ++dim) count *= (*this)[dim];
  return count;
}

Shape Shape::with(int dim, index_t size) const {
  assert(dim < dims_);
  Shape shape = *this;
  shape.sizes_[static_cast<std::size_t>(dim)] = size;
  return shape;
}

std::string Shape::to_string() const {
  std::string text = "(";
  for (int dim = 0; dim < dims_; ++dim) {
    if (dim > 0) text += ", ";
    text += std::to_string((*this)[dim]);
  }
  return text + ")";
}

}  // namespace lockstep
