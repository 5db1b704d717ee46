// Masked language model: n = max(1, round-half-even(length * p)) of the tokens that are not [CLS]
// or [SEP] are predicted; of these 80 % become [MASK], 10 % stay, 10 % become a random id. Windows
// of text: [CLS] text [SEP], or the text alone when the vocabulary has no such ids.
#pragma once

#include "data/corpus.hpp"
#include "data/objective/example.hpp"

namespace lockstep {

struct MaskRule {
  double probability = 0.15;
  std::uint64_t seed = 0;
  std::int32_t mask_id = 0;
  std::int32_t random_first = 0, random_last = 1;  // [first, last)
};

// The mask id: the vocabulary's, or the first one after it.
MaskRule mask_rule(const CorpusInfo& info, double probability, std::uint64_t seed);

// Masks example.tokens; `candidates` are the positions that may be predicted, ascending, at least
// one.
void mask_tokens(Example& example, std::vector<std::int32_t> candidates, const MaskRule& rule);

// Tokens of text in a sequence of T: T - 2 when the vocabulary has [CLS] and [SEP].
index_t mlm_text_length(const CorpusInfo& info, index_t T);
// Tokens [first, first + count) of the shard, wrapped and masked.
Example mlm_example(const Corpus& corpus,
                    int shard,
                    index_t first,
                    index_t count,
                    std::int64_t sample,
                    const MaskRule& rule);

}  // namespace lockstep
