// Reproducible mode: a rank's gradients as a binary tree over its data shards (core/nn/summation).
// Microbatches add to one buffer as ever; when the last one of a leaf (a data shard, or the whole
// shards of one microbatch) is through, the buffer is joined with the subtrees to its left, laid
// aside, and starts from +0 again. log2(leaves) buffers are laid aside at most.
#pragma once

#include <vector>

#include "core/tensor.hpp"

namespace lockstep {

class ShardTree {
 public:
  // gradients: those of one stage, flat. leaves: a power of two that divides the number of
  // microbatches.
  ShardTree(std::vector<Tensor> gradients, int leaves, int microbatches);

  // After the weight gradients of microbatch m; called for 0, 1, 2, ... in order. After the last
  // one the gradients hold the root.
  void microbatch_done(int m);
  std::size_t bytes_aside() const;

 private:
  // One of `gradients`, and what is laid aside of it by level.
  struct Buffer {
    Tensor gradients;
    std::vector<Tensor> aside;
  };

  std::vector<Buffer> buffers_;
  int leaves_, microbatches_per_leaf_;
};

}  // namespace lockstep
