// manifest.json of a corpus: written last, so that its presence means a complete corpus. It holds
// size and SHA-256 of every other file and, in its last line, the SHA-256 of all its bytes before
// that line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/corpus.hpp"

namespace lockstep {

struct ShardEntry {
  std::string file, split;
  std::uint64_t bytes = 0;
  std::string sha256;
  std::uint64_t documents = 0, sentences = 0, tokens = 0;
};

struct FileEntry {
  std::string file;
  std::uint64_t bytes = 0;
  std::string sha256;
};

struct Manifest {
  static constexpr const char* file_name = "manifest.json";
  static constexpr const char* format = "lockstep-corpus";
  static constexpr std::uint64_t format_major = 1, format_minor = 0;

  CorpusInfo info;
  std::string uuid, sentence_rule, tool_version;
  std::uint64_t token_bytes = 2;  // 2: u16, 4: u32
  bool eod_appended = false;
  std::uint64_t seed = 0;
  double validation_fraction = 0;
  std::vector<std::string> sources;        // inputs as typed
  std::vector<FileEntry> tokenizer_files;  // under tokenizer/
  std::vector<ShardEntry> shards;  // train first, then validation; within a split in stored order

  std::string to_text() const;
  void write(const std::string& directory) const;
};

// Every field is checked: types, ranges, sums, names without a path. Error (refused) naming the
// file and the field.
Manifest read_manifest(const std::string& directory);

// SHA-256 over the tokenizer's kind and files: equal tokenizers, equal digest.
std::string tokenizer_digest(const Tokenizer& tokenizer);

// SHA-256 and size of a file, read in pieces. Error (refused) naming it when it cannot be read.
FileEntry measure_file(const std::string& path);

}  // namespace lockstep
