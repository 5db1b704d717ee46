// The order of a long sum, the same on every layout. Indices form chains, and a chain adds its
// terms one after the other from +0; the chains are the leaves of a binary tree, ((0 + 1) + (2 +
// 3)) +
// ... A rank with an aligned power of two of a sum's chains so computes a whole subtree, and the
// tree over ranks (Group::start_all_reduce) goes on from there: the same bits on 1, 2, 4 or 8
// ranks.
#pragma once

#include <vector>

#include "core/dtype.hpp"

namespace lockstep {

// Indices [first, first + count), in order. A chain may consist of several ranges.
struct SumRange {
  index_t first = 0, count = 0;
  bool closes = true;  // the last range of its chain
};

class SumOrder {
 public:
  static constexpr index_t most_chains = 8;

  // One chain over [0, n).
  static SumOrder chain(index_t n);
  // [0, n) consists of `parts` equal parts one behind the other (q, k and v of a fused matrix);
  // chain s is the s-th of `chains` equal runs of the first part, then of the second, ...
  static SumOrder shards(index_t n, index_t chains, index_t parts = 1);
  // Chain s is [bounds[s], bounds[s + 1]).
  static SumOrder between(const std::vector<index_t>& bounds);

  const std::vector<SumRange>& ranges() const { return ranges_; }
  index_t num_chains() const { return num_chains_; }  // a power of two
  index_t count() const;                              // of all indices

 private:
  std::vector<SumRange> ranges_;
  index_t num_chains_ = 0;
};

}  // namespace lockstep
