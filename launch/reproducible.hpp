// What reproducible mode asks of a configuration, and the order of sums that follows from it
// (docs/reproducibility.md).
#pragma once

#include "core/model/config.hpp"
#include "core/nn/summation.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

// Of heads, ffn width and padded vocabulary: one number of shards for all, at most 8.
index_t tensor_shards(const ModelConfig& model);

// Sizes in sequences. Throws Error naming the option, its value and the cure when the layout does
// not hold whole shards.
Summation fixed_order(const ModelConfig& model,
                      const Degrees& degrees,
                      index_t global_batch_size,
                      index_t microbatch_size);
// The same for forward passes only.
Summation fixed_order(const ModelConfig& model, const Degrees& degrees);

// The leaves of a rank's gradient tree: data shards, or microbatches that hold several.
int gradient_leaves(const Degrees& degrees, index_t global_batch_size, index_t microbatch_size);

}  // namespace lockstep
