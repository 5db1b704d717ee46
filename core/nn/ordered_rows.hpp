// The rows of tokens that a parameter's gradient sums over, in the order of samples and positions,
// for sums in a fixed order. Where sequences are cut over cp ranks no rank has them all: rows are
// gathered, each rank sums its part of the outputs over all of them, and the later sum over cp adds
// only zeros.
#pragma once

#include <cstdint>
#include <vector>

#include "core/group.hpp"
#include "core/nn/context.hpp"

namespace lockstep {

class OrderedRows {
 public:
  // The rows at work are all of the microbatch on this rank, or those that context.sums.picked
  // names. Collective over cp.
  explicit OrderedRows(const Context& context);

  // (n, C) of this rank -> (N, C) of all, in order. Collective over cp; x itself without a cut.
  Tensor whole(const Tensor& x) const;
  // Chains by data shard.
  const SumOrder& order() const { return order_; }
  // Of n outputs those that this rank sums: all without a cut. Further ranks may share the work.
  Span own(index_t n, int rank = 0, int ranks = 1) const;

 private:
  void exchange_keys(std::vector<std::int64_t>& keys);

  Group* cp_;            // null without a cut
  index_t longest_ = 0;  // rows of the cp rank that has most
  std::vector<index_t>
      sources_;  // of each row, in order: its place among cp ranks of `longest_` rows each
  SumOrder order_;
};

}  // namespace lockstep
