// How the long sums of a step are ordered. Fast mode leaves it to the kernels. Fixed order
// (reproducible mode) cuts them by the configuration instead of by the layout:
//   over the features that tp cuts: tensor_shards chains of all tp ranks together
//   over tokens: a chain per data shard, a run of samples of the global batch. A microbatch is a
//   part of a shard, and goes on with the chain of the one before, or holds data_shards whole ones.
#pragma once

#include <vector>

#include "core/ops/sum_order.hpp"

namespace lockstep {

struct Summation {
  bool fixed = false;
  index_t tensor_shards = 1;
  index_t data_shards = 1;
  // Where the data shards of the rows at work begin and end, when they are not equally many rows
  // each (rows picked out of samples).
  std::vector<index_t> row_bounds;

  // Of features, `count` of which are on each of `ranks`; parts as in SumOrder::shards.
  SumOrder over_features(index_t count, int ranks, index_t parts = 1) const {
    return SumOrder::shards(count, fixed ? tensor_shards / ranks : 1, parts);
  }
  SumOrder over_rows(index_t rows) const {
    if (!fixed) return SumOrder::chain(rows);
    return row_bounds.empty() ? SumOrder::shards(rows, data_shards) : SumOrder::between(row_bounds);
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
