// ZeRO-1: each of the ranks that share a gradient owns one span of the flat buffers, of equal
// length to within one element whatever parameters lie in it. It alone has the summed gradient
// there, keeps the moments, and steps the values, which are then gathered.
#pragma once

#include "core/group.hpp"

namespace lockstep {

class Sharded {
 public:
  // n: elements of the flat buffers, the same on all members of replicas, which must outlive this.
  Sharded(index_t n, Group& replicas)
      : replicas_(&replicas), own_(span_of(n, replicas.rank(), replicas.size())) {}

  Span own_span() const { return own_; }
  void gather(const Tensor& values) { replicas_->all_gather(values, "parameter"); }

 private:
  Group* replicas_;
  Span own_;
};

}  // namespace lockstep
