// The merge loop of byte-pair encoding on one word: take the pair of lowest rank, join all its
// occurrences from left to right, repeat until no neighbours are a pair. Both functions give the
// same ids; they differ in cost only.
#pragma once

#include <cstdint>
#include <vector>

#include "data/tokenizer/pair_ranks.hpp"

namespace lockstep {

struct MergeSymbol {
  std::int32_t id;
  Merge merge;  // with the right neighbour
  bool changed;
};

// O(length * merges), small constant: for words. scratch saves its allocation between calls.
void merge_short_word(std::vector<std::int32_t>& ids,
                      const PairRanks& ranks,
                      std::vector<MergeSymbol>& scratch);
// O(length * log length): a megabyte without a space stays cheap.
void merge_long_word(std::vector<std::int32_t>& ids, const PairRanks& ranks);

}  // namespace lockstep
