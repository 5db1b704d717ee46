// Up to four dimensions, row-major.
#pragma once

#include <array>
#include <initializer_list>
#include <string>

#include "core/dtype.hpp"

namespace lockstep {

class Shape {
 public:
  static constexpr int max_dims = 4;

  Shape() = default;
  Shape(std::initializer_list<index_t> sizes);

  int dims() const { return dims_; }
  index_t operator[](int dim) const { return sizes_[static_cast<std::size_t>(dim)]; }
  index_t last() const { return dims_ == 0 ? 1 : sizes_[static_cast<std::size_t>(dims_ - 1)]; }
  index_t count() const;                    // elements; 1 for no dimensions
  Shape with(int dim, index_t size) const;  // the same with one size replaced
  std::string to_string() const;            // "(4, 768)"
  bool operator==(const Shape&) const = default;

 private:
  std::array<index_t, max_dims> sizes_{};
  int dims_ = 0;
};

}  // namespace lockstep
