// `tokenizer train`: vocabularies from text, deterministic for the same bytes in the same order.
#pragma once

#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace lockstep {

// kind: characters (vocab_size ignored), bpe (byte-level, GPT-2's splitter; vocab.json +
// merges.txt), wordpiece (vocab.txt with [PAD] [UNK] [CLS] [SEP] [MASK] first, lower-cased). Writes
// the files into `output`: made when missing, refused when it holds files. inputs: files or
// directories; gzip is read as its content. Merging ends early, below vocab_size, when no pair of
// neighbours occurs twice.
void train_tokenizer(const std::string& kind,
                     index_t vocab_size,
                     const std::vector<std::string>& inputs,
                     const std::string& output);

}  // namespace lockstep
