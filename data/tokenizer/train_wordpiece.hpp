// The tokens of a WordPiece vocabulary: [PAD] [UNK] [CLS] [SEP] [MASK]; the characters that begin
// words, then "##" and those inside words, at most half of the room and the most frequent ones;
// then merges by pair count. (Merging by likelihood gain, count(ab) / (count(a) count(b)), prefers
// pairs of rare characters and spends a small vocabulary on them.)
#pragma once

#include <string>
#include <vector>

#include "data/tokenizer/word_counts.hpp"

namespace lockstep {

// words: as bert_splitter gives them, lower-cased. At most num_tokens tokens.
std::vector<std::string> learn_wordpieces(const WordCounts& words, std::size_t num_tokens);

}  // namespace lockstep
