// Next-sentence prediction: [CLS] A [SEP] B [SEP], whole sentences up to T - 3 tokens (a tenth of
// the samples: to a random shorter length). B is the text after A (label 0) or, half of the time,
// text of another document (label 1).
#pragma once

#include "data/corpus.hpp"
#include "data/objective/mlm.hpp"

namespace lockstep {

// A run of tokens in a shard.
struct TokenRun {
  int shard = 0;
  index_t begin = 0, end = 0;

  index_t size() const { return end - begin; }
};

struct NspPair {
  TokenRun a, b;
  std::int32_t label = 0;
  index_t sentences_used = 0;  // of the document: those of A, and of B when it follows
};

struct NspRule {
  index_t T = 0;
  std::uint64_t seed = 0;
  bool short_samples = true;  // off in validation
};

class NspObjective {
 public:
  // Error (refused) naming corpus and cure when it has no sentences, or its vocabulary no [CLS],
  // [SEP] or [MASK].
  NspObjective(const Corpus& corpus, const NspRule& rule);

  // The pair that begins with this sentence of the document, before truncation to T - 3 (see
  // truncated()).
  NspPair pair(int shard, index_t document, index_t sentence, std::uint64_t sample) const;
  // Drops tokens of the longer span, at front or back, until both fit.
  void truncate(NspPair& pair, std::uint64_t sample) const;
  Example example(int shard,
                  index_t document,
                  index_t sentence,
                  std::int64_t sample,
                  const MaskRule& mask) const;
  // For training: the first sentence at or after a token of the shard, else the shard's first.
  Example example_from(int shard, index_t token, std::int64_t sample, const MaskRule& mask) const;

 private:
  // The end of a document's text, without the end-of-document token.
  index_t text_end(int shard, index_t document) const;
  index_t boundary(int shard,
                   index_t document,
                   index_t sentence) const;  // sentence may be one past the last
  index_t target_length(std::uint64_t sample) const;
  bool random_document(std::uint64_t sample, index_t own, int& shard, index_t& document) const;
  bool take_random(NspPair& pair, index_t own, index_t room, std::uint64_t sample) const;

  const Corpus& corpus_;
  NspRule rule_;
  std::vector<index_t> firsts_{0};  // documents before each shard, then all
};

}  // namespace lockstep
