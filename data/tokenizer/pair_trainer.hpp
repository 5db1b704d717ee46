// Byte-pair training: join the most frequent pair of neighbours in all words, as often as there is
// room for new tokens. Ties go to the lexicographically smaller pair, so that equal text gives
// equal merges.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

struct TrainingWord {
  std::vector<std::int32_t> symbols;
  std::uint64_t count;  // in the text
};

// The text of left + right joined ("##" of WordPiece goes).
using JoinTokens = std::function<std::string(const std::string& left, const std::string& right)>;

// Appends to `tokens` until there are `num_tokens` or no pair occurs twice. Returns the pairs
// joined, in order; a pair whose text is a token already makes no new one.
std::vector<std::pair<std::int32_t, std::int32_t>> learn_merges(std::vector<TrainingWord> words,
                                                                std::vector<std::string>& tokens,
                                                                std::size_t num_tokens,
                                                                const JoinTokens& join);

}  // namespace lockstep
