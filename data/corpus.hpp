// A built corpus, read through mmap: no HDF5 call after opening. Every 1 MiB block is checked
// against its CRC at first use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/dtype.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

struct CorpusInfo {
  std::string directory, name, format, fingerprint;
  std::string tokenizer_kind, tokenizer_sha256;  // equal digests: equal tokenizers
  index_t vocab_size = 0;
  SpecialIds specials;
  std::pair<std::int32_t, std::int32_t> random_ids{0, 0};
  std::uint64_t documents = 0, sentences = 0, tokens = 0;  // of all splits
  bool has_sentences = false;
  std::vector<std::string> shards;  // file names
  std::vector<std::string> splits;  // "train", "validation"
};

// Reads the manifest only. Throws Error (refused) naming directory, file and field.
CorpusInfo read_corpus_info(const std::string& directory);
std::string describe_corpus(const std::string& directory, bool json);  // `corpus info`
void verify_corpus(
    const std::string& directory);  // `corpus verify`: Error (failed) naming file, dataset, block
std::string show_document(const std::string& directory, std::uint64_t document);
std::unique_ptr<Tokenizer> open_corpus_tokenizer(const std::string& directory);

// One split of a corpus. Shards are the units a window does not cross.
class Corpus {
 public:
  struct Shard;

  // split: "train", "validation" or "all" (train first). Checks every shard's existence and size.
  Corpus(const std::string& directory, const std::string& split);
  ~Corpus();
  Corpus(const Corpus&) = delete;
  Corpus& operator=(const Corpus&) = delete;

  const CorpusInfo& info() const { return info_; }
  const std::string& split() const { return split_; }
  bool eod_appended() const {
    return eod_appended_;
  }  // the last token of every document is the end-of-document id
  int num_shards() const;
  std::uint64_t num_tokens() const;  // of the split
  std::uint64_t num_documents() const;
  index_t shard_tokens(int shard) const;
  index_t shard_documents(int shard) const;
  index_t document_begin(int shard, index_t document) const;  // token offset in the shard
  index_t document_end(int shard, index_t document) const;
  index_t document_of(int shard, index_t token) const;  // binary search
  // Sentence starts of a document, as token offsets in the shard. Needs has_sentences.
  index_t num_sentences(int shard, index_t document) const;
  index_t sentence_begin(int shard, index_t document, index_t sentence) const;
  // Of all sentences of a shard, in stored order: how many, and the first that starts at or after
  // `token` (their number: none).
  index_t shard_sentences(int shard) const;
  index_t sentence_from(int shard, index_t token) const;
  // The document a sentence of the shard is in, and the sentence's number there.
  std::pair<index_t, index_t> document_of_sentence(int shard, index_t sentence) const;
  // Widens tokens [first, first + count) to int32. Throws Error (failed) naming the file when a
  // block's CRC is wrong.
  void read(int shard, index_t first, index_t count, std::int32_t* ids) const;

 private:
  CorpusInfo info_;
  std::string split_;
  bool eod_appended_ = false;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace lockstep
