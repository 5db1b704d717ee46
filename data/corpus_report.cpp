// `corpus info`, `corpus verify` and `corpus show`.
#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/checksum.hpp"
#include "core/error.hpp"
#include "data/corpus.hpp"
#include "data/manifest.hpp"
#include "data/shard.hpp"

namespace lockstep {
namespace {

void check_digest(const std::string& path, std::uint64_t bytes, const std::string& sha256) {
  std::error_code error;
  const std::uint64_t found = std::filesystem::file_size(path, error);
  if (error) fail(path, " cannot be read: ", error.message());
  if (found != bytes) fail(path, " has ", found, " bytes, the manifest says ", bytes);
  if (measure_file(path).sha256 != sha256)
    fail(path, " is damaged: its SHA-256 is not the manifest's");
}

void check_tokenizer_files(const Manifest& manifest) {
  const std::string directory = manifest.info.directory + "/tokenizer";
  for (const FileEntry& file : manifest.tokenizer_files) {
    check_digest(directory + "/" + file.file, file.bytes, file.sha256);
  }
}

// Names dataset and block when the damage lies in one; else the whole file's digest tells that
// something changed.
void verify_shard(const Manifest& manifest, const ShardEntry& entry, Sha256& fingerprint) {
  const std::string& directory = manifest.info.directory;
  try {
    const ShardReader reader(directory, manifest, entry);
    reader.check_all();
    for (Column column : all_columns) {
      if (is_sentence_column(column) && !manifest.info.has_sentences) continue;
      add_to_fingerprint(fingerprint, entry, column, reader.crcs(column));
    }
  } catch (const Error& error) {
    fail(error.what());
  }
  check_digest(directory + "/" + entry.file, entry.bytes, entry.sha256);
}

Manifest manifest_to_verify(const std::string& directory) {
  std::error_code error;
  require(std::filesystem::is_directory(directory, error), "corpus ", directory, " is not there");
  try {
    return read_manifest(directory);
  } catch (const Error& problem) {
    fail(problem.what());
  }
}

}  // namespace

std::string describe_corpus(const std::string& directory, bool json) {
  const CorpusInfo info = read_corpus_info(directory);
  if (json) {
    nlohmann::ordered_json object;
    object["format"] = info.format;
    object["name"] = info.name;
    object["tokenizer"] = info.tokenizer_kind;
    object["vocab_size"] = info.vocab_size;
    object["documents"] = info.documents;
    object["sentences"] = info.sentences;
    object["tokens"] = info.tokens;
    object["shards"] = info.shards;
    object["splits"] = info.splits;
    object["fingerprint"] = info.fingerprint;
    return object.dump() + "\n";
  }
  std::string splits;
  for (const std::string& split : info.splits) splits += (splits.empty() ? "" : ", ") + split;
  std::string text =
      build_string("name         ", info.name, "\nformat       ", info.format, "\ntokenizer    ",
                   info.tokenizer_kind, "\nvocab_size   ", info.vocab_size, "\ndocuments    ",
                   info.documents, "\nsentences    ");
  text += info.has_sentences ? std::to_string(info.sentences) : "not split (--sentences)";
  text += build_string("\ntokens       ", info.tokens, "\nsplits       ", splits, "\nfingerprint  ",
                       info.fingerprint, "\nshards       ", info.shards.size(), "\n");
  for (const std::string& shard : info.shards) text += "  " + shard + "\n";
  return text;
}

void verify_corpus(const std::string& directory) {
  const Manifest manifest = manifest_to_verify(directory);
  Sha256 fingerprint;
  for (const ShardEntry& entry : manifest.shards) verify_shard(manifest, entry, fingerprint);
  if (fingerprint.hex() != manifest.info.fingerprint) {
    fail(directory, "/", Manifest::file_name, ": the fingerprint is not that of the shards");
  }
  check_tokenizer_files(manifest);
  try {
    open_corpus_tokenizer(directory);
  } catch (const Error& error) {
    fail(error.what());
  }
}

std::string show_document(const std::string& directory, std::uint64_t document) {
  const Corpus corpus(directory, "all");
  require(document < corpus.num_documents(), "--document ", document, ": corpus ", directory,
          " has documents 0 to ", corpus.num_documents() - 1);
  auto index = static_cast<index_t>(document);
  int shard = 0;
  for (; index >= corpus.shard_documents(shard); ++shard) index -= corpus.shard_documents(shard);
  const index_t begin = corpus.document_begin(shard, index),
                end = corpus.document_end(shard, index);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(end - begin));
  corpus.read(shard, begin, end - begin, ids.data());
  if (corpus.eod_appended() && !ids.empty()) ids.pop_back();
  return open_corpus_tokenizer(directory)->decode(ids);
}

std::unique_ptr<Tokenizer> open_corpus_tokenizer(const std::string& directory) {
  const Manifest manifest = read_manifest(directory);
  if (manifest.tokenizer_files.empty()) {
    require(manifest.info.tokenizer_kind == "bytes", directory, "/", Manifest::file_name,
            ": tokenizer.files is empty, but its kind is ", manifest.info.tokenizer_kind);
    return open_tokenizer("bytes");
  }
  try {
    check_tokenizer_files(manifest);
  } catch (const Error& error) {
    throw Error(error.what(), ExitCode::refused);
  }
  std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(directory + "/tokenizer");
  require(tokenizer_digest(*tokenizer) == manifest.info.tokenizer_sha256, directory,
          "/tokenizer is not the tokenizer the corpus was built with: build the corpus again");
  return tokenizer;
}

}  // namespace lockstep
