// How many bytes a set of tensors keeps alive: each buffer once, whole, whatever views there are.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "core/tensor.hpp"

namespace lockstep {

class Footprint {
 public:
  // Tensors, vectors of parts, and structs that say what they hold: void add_to(Footprint&) const.
  template <typename... Parts>
  void add(const Parts&... parts) {
    (add_one(parts), ...);
  }
  std::size_t bytes() const;

 private:
  void add_one(const Tensor& x);
  template <typename Part>
  void add_one(const std::vector<Part>& parts) {
    for (const Part& part : parts) add_one(part);
  }
  template <typename Part>
  void add_one(const Part& part) {
    part.add_to(*this);
  }

  std::vector<std::pair<const void*, std::size_t>> buffers_;  // may be there several times
};

}  // namespace lockstep
