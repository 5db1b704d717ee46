#include "data/corpus.hpp"

#include <algorithm>
#include <cassert>

#include "core/error.hpp"
#include "data/manifest.hpp"
#include "data/shard.hpp"

namespace lockstep {

struct Corpus::Shard {
  ShardReader reader;
};

namespace {

std::uint64_t as_index(index_t value) { return static_cast<std::uint64_t>(value); }

}  // namespace

CorpusInfo read_corpus_info(const std::string& directory) { return read_manifest(directory).info; }

Corpus::Corpus(const std::string& directory, const std::string& split) : split_(split) {
  const Manifest manifest = read_manifest(directory);
  info_ = manifest.info;
  eod_appended_ = manifest.eod_appended;
  for (const ShardEntry& entry : manifest.shards) {
    if (split != "all" && split != entry.split) continue;
    shards_.push_back(std::unique_ptr<Shard>(new Shard{ShardReader(directory, manifest, entry)}));
  }
  require(!shards_.empty(), "corpus ", directory, " has no split ", split,
          split == "validation"
              ? ": build it with --validation-fraction, or name a --validation-corpus"
              : "");
}

Corpus::~Corpus() = default;

int Corpus::num_shards() const { return static_cast<int>(shards_.size()); }

std::uint64_t Corpus::num_tokens() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards_) sum += shard->reader.entry().tokens;
  return sum;
}

std::uint64_t Corpus::num_documents() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards_) sum += shard->reader.entry().documents;
  return sum;
}

index_t Corpus::shard_tokens(int shard) const {
  return static_cast<index_t>(shards_[static_cast<std::size_t>(shard)]->reader.entry().tokens);
}

index_t Corpus::shard_documents(int shard) const {
  return static_cast<index_t>(shards_[static_cast<std::size_t>(shard)]->reader.entry().documents);
}

index_t Corpus::shard_sentences(int shard) const {
  return static_cast<index_t>(shards_[static_cast<std::size_t>(shard)]->reader.entry().sentences);
}

// Offsets are compared with each other and with the shard's size: a checksum does not say that they
// make sense.
index_t Corpus::document_begin(int shard, index_t document) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  const std::uint32_t begin = reader.u32(Column::doc_offsets, as_index(document));
  const std::uint32_t end = reader.u32(Column::doc_offsets, as_index(document) + 1);
  if (begin > end || end > reader.entry().tokens) {
    fail("shard ", reader.path(), ": document ", document, " runs from token ", begin, " to ", end);
  }
  return begin;
}

index_t Corpus::document_end(int shard, index_t document) const {
  const index_t begin = document_begin(shard, document);
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  return std::max<index_t>(begin, reader.u32(Column::doc_offsets, as_index(document) + 1));
}

index_t Corpus::document_of(int shard, index_t token) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  return static_cast<index_t>(reader.last_at_most(Column::doc_offsets, as_index(token)));
}

index_t Corpus::num_sentences(int shard, index_t document) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  const std::uint32_t first = reader.u32(Column::doc_sents, as_index(document));
  const std::uint32_t last = reader.u32(Column::doc_sents, as_index(document) + 1);
  if (first > last || last > reader.entry().sentences) {
    fail("shard ", reader.path(), ": document ", document, " has sentences ", first, " to ", last);
  }
  return last - first;
}

index_t Corpus::sentence_begin(int shard, index_t document, index_t sentence) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  const std::uint32_t first = reader.u32(Column::doc_sents, as_index(document));
  const index_t begin = reader.u32(Column::sent_offsets,
                                   std::min(first + as_index(sentence), reader.entry().sentences));
  if (begin < document_begin(shard, document) || begin > document_end(shard, document)) {
    fail("shard ", reader.path(), ": sentence ", sentence, " of document ", document,
         " begins outside of it");
  }
  return begin;
}

index_t Corpus::sentence_from(int shard, index_t token) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  index_t low = 0, high = shard_sentences(shard);
  while (low < high) {
    const index_t middle = low + (high - low) / 2;
    if (static_cast<index_t>(reader.u32(Column::sent_offsets, as_index(middle))) < token) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

std::pair<index_t, index_t> Corpus::document_of_sentence(int shard, index_t sentence) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  const std::uint64_t document = reader.last_at_most(Column::doc_sents, as_index(sentence));
  if (document >= reader.entry().documents) {
    fail("shard ", reader.path(), ": sentence ", sentence, " is in no document");
  }
  return {static_cast<index_t>(document), sentence - reader.u32(Column::doc_sents, document)};
}

void Corpus::read(int shard, index_t first, index_t count, std::int32_t* ids) const {
  const ShardReader& reader = shards_[static_cast<std::size_t>(shard)]->reader;
  assert(first >= 0 && count >= 0 && first + count <= shard_tokens(shard));
  reader.read_tokens(as_index(first), as_index(count), ids);
}

}  // namespace lockstep
