#include "parallel/gradient/shard_tree.hpp"

#include <bit>
#include <cassert>
#include <utility>

#include "core/ops/fixed_sums.hpp"

namespace lockstep {

ShardTree::ShardTree(std::vector<Tensor> gradients, int leaves, int microbatches)
    : leaves_(leaves), microbatches_per_leaf_(microbatches / leaves) {
  assert(std::has_single_bit(static_cast<unsigned>(leaves)) && microbatches % leaves == 0);
  for (Tensor& flat : gradients) {
    Buffer buffer{std::move(flat), {}};
    for (int level = 0; 1 << level < leaves; ++level) {
      buffer.aside.push_back(Tensor::empty(buffer.gradients.shape(), buffer.gradients.dtype(),
                                           buffer.gradients.device()));
    }
    buffers_.push_back(std::move(buffer));
  }
}

// The binary counter: leaf i is joined with one subtree per trailing one of i.
void ShardTree::microbatch_done(int m) {
  if ((m + 1) % microbatches_per_leaf_ != 0) return;
  const int leaf = m / microbatches_per_leaf_;
  const int level = std::countr_one(static_cast<unsigned>(leaf));
  for (Buffer& buffer : buffers_) {
    const std::vector<Tensor> joined(buffer.aside.begin(), buffer.aside.begin() + level);
    const bool root = leaf == leaves_ - 1;
    Tensor& to = root ? buffer.gradients : buffer.aside[static_cast<std::size_t>(level)];
    join_sums(to, buffer.gradients, joined);
  }
}

std::size_t ShardTree::bytes_aside() const {
  std::size_t bytes = 0;
  for (const Buffer& buffer : buffers_) {
    for (const Tensor& level : buffer.aside) bytes += level.bytes();
  }
  return bytes;
}

}  // namespace lockstep
