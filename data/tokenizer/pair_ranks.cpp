#include "data/tokenizer/pair_ranks.hpp"

#include <bit>

namespace lockstep {

PairRanks::PairRanks(std::size_t num_pairs) {
  // At most half full, so that a search that finds nothing ends soon.
  const std::size_t slots = std::bit_ceil(2 * num_pairs + 2);
  shift_ = 64 - std::countr_zero(slots);
  mask_ = slots - 1;
  entries_.resize(slots);
}

void PairRanks::set(std::int32_t left, std::int32_t right, Merge merge) {
  const std::uint64_t key = key_of(left, right);
  std::size_t i = slot_of(key);
  while (entries_[i].key != empty && entries_[i].key != key) i = (i + 1) & mask_;
  entries_[i] = {key, merge};
}

}  // namespace lockstep
