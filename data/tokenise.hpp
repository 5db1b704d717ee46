// Documents to ids: worker processes write them to scratch files, in input order; the corpus is
// assembled from there in stored order. Nothing of a document depends on the number of workers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/documents.hpp"
#include "data/mapped_file.hpp"
#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

// A row of a scratch index.
struct TokenisedDocument {
  std::uint64_t id = 0;           // hash of the text
  std::uint64_t token_begin = 0;  // in the scratch file of its worker
  std::uint64_t sentence_begin = 0;
  std::uint32_t tokens = 0, sentences = 0;
};

struct TokeniseOptions {
  bool sentences = false;
  bool append_eod = false;
  std::uint64_t token_bytes = 2;
  int jobs = 1;
};

using TokeniseProgress = std::function<void(std::uint64_t bytes, std::uint64_t documents)>;

class TokenisedDocuments {
 public:
  // Error of the worker that met one; a worker that died is named with its signal.
  TokenisedDocuments(const Documents& documents,
                     const Tokenizer& tokenizer,
                     const TokeniseOptions& options,
                     const std::string& scratch,
                     const TokeniseProgress& progress);

  std::uint64_t count() const { return firsts_.back(); }
  TokenisedDocument row(std::uint64_t document) const;
  // The document's tokens as written, and the starts of its sentences (u32, counted from the
  // document's first token).
  const std::byte* tokens(std::uint64_t document) const;
  const std::byte* sentence_starts(std::uint64_t document) const;

 private:
  std::size_t worker_of(std::uint64_t document) const;

  std::uint64_t token_bytes_;
  std::vector<std::uint64_t> firsts_;  // first document of each worker, then their number
  std::vector<MappedFile> rows_, tokens_, sentences_;
};

}  // namespace lockstep
