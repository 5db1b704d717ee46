// `corpus build`: text to a sharded HDF5 corpus (format: docs/corpus.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/tokenizer/tokenizer.hpp"

namespace lockstep {

enum class DocumentRule { automatic, file, blank_line, line, jsonl, wiki };

struct CorpusBuild {
  std::string output;               // must not exist, or be an empty directory
  std::vector<std::string> inputs;  // files, directories (all files below, by name), .gz, "-"
  std::string tokenizer;            // SPEC
  Lowercase lowercase = Lowercase::automatic;
  DocumentRule documents = DocumentRule::automatic;
  std::string json_key = "text";
  bool sentences = false;
  int jobs = 1;  // processes; the fingerprint does not depend on it
  std::uint64_t shard_bytes = std::uint64_t{1} << 30;
  double validation_fraction = 0;  // whole documents, by hash of their text
  std::string name = "corpus";
  std::uint64_t seed = 0;  // of the document permutation
};

struct BuildProgress {
  double fraction = 0;
  std::uint64_t bytes = 0, documents = 0;
  double seconds = 0;
};

struct BuildSummary {
  std::uint64_t documents = 0, sentences = 0, tokens = 0, bytes = 0;
  double seconds = 0;
  DocumentRule documents_rule = DocumentRule::file;  // what `automatic` decided
};

// progress may be empty. Throws Error: refused for bad inputs, failed for I/O; nothing but an
// incomplete directory without a manifest is left behind, and that is removed.
BuildSummary build_corpus(const CorpusBuild& build,
                          const std::function<void(const BuildProgress&)>& progress);

}  // namespace lockstep
