// Causal language model: position t predicts token t + 1 of a window of count + 1 tokens. Nothing
// random.
#pragma once

#include "data/corpus.hpp"
#include "data/objective/example.hpp"

namespace lockstep {

// Tokens [first, first + count] of the shard: count inputs, count targets.
Example causal_example(const Corpus& corpus,
                       int shard,
                       index_t first,
                       index_t count,
                       std::int64_t sample);

}  // namespace lockstep
