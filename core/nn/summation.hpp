// How the long sums of a step are ordered. Fast mode leaves it to the kernels. Fixed order
// (reproducible mode) cuts them by the configuration instead of by the layout:
//   over the features that tp cuts: tensor_shards chains of all tp ranks together
//   over tokens: a chain per data shard, a run of samples of the global batch. A microbatch is a
//   part of a shard, and goes on with the chain of the one before, or holds data_shards whole ones.
#pragma once

#include "core/ops/sum_order.hpp"
#include "core/tensor.hpp"

namespace lockstep {

class Group;

struct Summation {
  bool fixed = false;
  index_t tensor_shards = 1;
  index_t data_shards = 1;
  Group* cp = nullptr;  // whom sequences are cut over; null: nobody
  // The rows at work when they are picked out of the microbatch's: i32, ascending; undefined: all.
  Tensor picked;

  // Gradients sum over rows that no piece of them may be apart from.
  bool keeps_rows_together() const;
  // Of features, `count` of which are on each of `ranks`; parts as in SumOrder::shards.
  SumOrder over_features(index_t count, int ranks, index_t parts = 1) const {
    return SumOrder::shards(count, fixed ? tensor_shards / ranks : 1, parts);
  }
};

// The number of shards of n things: the largest power of two up to SumOrder::most_chains that
// divides n.
constexpr index_t shards_of(index_t n) {
  index_t shards = 1;
  while (shards < SumOrder::most_chains && n % (2 * shards) == 0) shards *= 2;
  return shards;
}

}  // namespace lockstep
