// What reproducible mode asks of a configuration, and the order of sums that follows from it
// (docs/reproducibility.md).
#pragma once

#include "core/model/config.hpp"
#include "core/nn/summation.hpp"
#include "parallel/topology.hpp"

namespace lockstep {

// On the CPU --reproducible fixes the order of all sums, whatever the layout. On a GPU it gives one
// layout the same bits in every run, by leaving nothing to a clock or to what is done first.
bool fixes_sums(bool reproducible, Device device);
// Whether a GPU's products are timed (core/ops/gemm). Ranks of tp compute some parameters'
// gradients each for itself and must get the same bits.
bool times_products(bool reproducible, const Degrees& degrees);

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
