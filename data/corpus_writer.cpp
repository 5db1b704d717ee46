#include "data/corpus_writer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/checksum.hpp"
#include "core/durable_file.hpp"
#include "core/error.hpp"
#include "core/random.hpp"
#include "data/documents.hpp"
#include "data/manifest.hpp"
#include "data/permutation.hpp"
#include "data/sentences.hpp"
#include "data/shard.hpp"
#include "data/tokenise.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr double tokenise_share = 0.9;  // of the progress bar
constexpr const char* scratch_name = ".building";

void validate(const CorpusBuild& build) {
  constexpr std::uint64_t least_shard = 4096;
  require(!build.output.empty(), "--output is empty: name a directory");
  require(build.jobs >= 1 && build.jobs <= 1024, "--jobs ", build.jobs, " is not from 1 to 1024");
  require(build.shard_bytes >= least_shard, "--shard-bytes ", build.shard_bytes, " is below ",
          least_shard);
  require(build.validation_fraction >= 0 && build.validation_fraction < 1, "--validation-fraction ",
          build.validation_fraction, " is not at least 0 and below 1");
  constexpr const char* allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  require(!build.name.empty() && build.name.size() <= 100 && build.name[0] != '.' &&
              build.name.find_first_not_of(allowed) == std::string::npos,
          "--name ", build.name, " is not 1 to 100 letters, digits, dots, hyphens and underscores");
  require(build.documents == DocumentRule::jsonl || build.documents == DocumentRule::automatic ||
              build.json_key == "text",
          "--json-key ", build.json_key, " has no effect without --documents jsonl");
}

// The output directory while it is being filled: emptied again, or removed, unless keep() was
// called.
class Output {
 public:
  explicit Output(const std::string& path) : path_(path) {
    std::error_code error;
    existed_ = fs::exists(path, error);
    require(!existed_ || fs::is_directory(path, error), "--output ", path,
            " is a file: name a directory");
    require(!existed_ || fs::is_empty(path, error), "--output ", path,
            " is not empty: remove it or name another directory");
    fs::create_directories(path + "/" + scratch_name, error);
    if (error) {
      remove_all();
      fail("cannot create --output ", path, ": ", error.message());
    }
  }
  ~Output() {
    if (!kept_) remove_all();
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::string scratch() const { return path_ + "/" + scratch_name; }
  void remove_scratch() {
    std::error_code error;
    fs::remove_all(scratch(), error);
    if (error) fail("cannot remove ", scratch(), ": ", error.message());
  }
  void keep() { kept_ = true; }

 private:
  void remove_all() {
    std::error_code error;
    if (!existed_) {
      fs::remove_all(path_, error);
      return;
    }
    for (const fs::directory_entry& entry : fs::directory_iterator(path_, error))
      fs::remove_all(entry.path(), error);
  }

  std::string path_;
  bool existed_ = false, kept_ = false;
};

// By the text alone: a document stays in its split when others are added.
bool is_validation(std::uint64_t document_id, double fraction) {
  return static_cast<double>(mix(document_id, hash_name("validation")) >> 11) * 0x1p-53 < fraction;
}

// Tokenised documents in stored order, cut into shards.
class Assembly {
 public:
  Assembly(const TokenisedDocuments& documents, const CorpusBuild& build, Manifest& manifest)
      : documents_(documents),
        build_(build),
        manifest_(manifest),
        order_(documents.count(), mix(build.seed, hash_name("document order"))) {}

  // Fills in the manifest's shards (without sizes) and sums.
  void plan() {
    CorpusInfo& info = manifest_.info;
    for (const char* split : {"train", "validation"}) {
      plan_split(split);
      if (manifest_.shards.empty() || manifest_.shards.back().split != split) continue;
      info.splits.emplace_back(split);
    }
    require(build_.validation_fraction == 0 || info.splits.size() == 2, "--validation-fraction ",
            build_.validation_fraction, " of ", documents_.count(), " documents leaves the split ",
            info.splits.front() == "train" ? "validation" : "train",
            " without one: take another fraction, or cut the input into more documents with "
            "--documents");
    name_shards();
    for (const ShardEntry& shard : manifest_.shards) {
      info.documents += shard.documents;
      info.sentences += shard.sentences;
      info.tokens += shard.tokens;
      info.shards.push_back(shard.file);
    }
    manifest_.uuid = identity();
  }

  void write(const std::function<void(double)>& progress) {
    Sha256 fingerprint;
    std::uint64_t position = 0;
    for (std::size_t i = 0; i < manifest_.shards.size(); ++i) {
      ShardEntry& shard = manifest_.shards[i];
      if (i == 0 || shard.split != manifest_.shards[i - 1].split) position = 0;
      ShardWriter writer(build_.output, manifest_, shard);
      fill(writer, shard, position, progress);
      shard = writer.finish(manifest_, i, manifest_.shards.size(), fingerprint);
    }
    manifest_.info.fingerprint = fingerprint.hex();
  }

 private:
  bool belongs(const TokenisedDocument& row, const std::string& split) const {
    return is_validation(row.id, build_.validation_fraction) == (split == "validation");
  }

  void plan_split(const std::string& split) {
    constexpr std::uint64_t most_tokens = std::numeric_limits<std::uint32_t>::max() - 1;
    const std::uint64_t room = std::min(most_tokens, build_.shard_bytes / manifest_.token_bytes);
    ShardEntry shard;
    shard.split = split;
    for (std::uint64_t position = 0; position < order_.size(); ++position) {
      const TokenisedDocument row = documents_.row(order_(position));
      if (!belongs(row, split)) continue;
      const bool full = shard.tokens + row.tokens > room || shard.documents == most_tokens;
      if (shard.documents > 0 && full) {
        manifest_.shards.push_back(shard);
        shard.documents = shard.sentences = shard.tokens = 0;
      }
      ++shard.documents;
      shard.sentences += row.sentences;
      shard.tokens += row.tokens;
    }
    if (shard.documents > 0) manifest_.shards.push_back(shard);
  }

  void name_shards() {
    for (const std::string& split : manifest_.info.splits) {
      const auto is_in = [&split](const ShardEntry& shard) { return shard.split == split; };
      const auto count = std::count_if(manifest_.shards.begin(), manifest_.shards.end(), is_in);
      require(count <= 100000, "--shard-bytes ", build_.shard_bytes, " makes ", count,
              " shards of the split ", split, ": at most 100000, take larger ones");
      int index = 0;
      for (ShardEntry& shard : manifest_.shards) {
        if (!is_in(shard)) continue;
        char numbers[48];
        std::snprintf(numbers, sizeof numbers, "-%05d-of-%05d.h5", index++,
                      static_cast<int>(count));
        shard.file = build_.name + "-" + split + numbers;
      }
    }
  }

  // The corpus by its documents in stored order; written into every shard, so that shards of two
  // corpora are not mixed.
  std::string identity() const {
    Sha256 sha;
    sha.update(manifest_.info.tokenizer_sha256.data(), manifest_.info.tokenizer_sha256.size());
    for (std::uint64_t position = 0; position < order_.size(); ++position) {
      const std::uint64_t id = documents_.row(order_(position)).id;
      sha.update(&id, sizeof id);
    }
    return sha.hex().substr(0, 32);
  }

  // From stored position `position` on; moves it past the shard's last document.
  void fill(ShardWriter& writer,
            const ShardEntry& shard,
            std::uint64_t& position,
            const std::function<void(double)>& progress) {
    std::uint32_t tokens = 0, sentences = 0;
    std::vector<std::uint32_t> starts;
    for (std::uint64_t done = 0; done < shard.documents; ++position) {
      const std::uint64_t document = order_(position);
      const TokenisedDocument row = documents_.row(document);
      if (!belongs(row, shard.split)) continue;
      writer.append(Column::tokens, documents_.tokens(document), row.tokens);
      writer.append(Column::doc_offsets, &tokens, 1);
      writer.append(Column::doc_ids, &row.id, 1);
      if (build_.sentences) {
        starts.resize(row.sentences);
        if (row.sentences > 0) {
          std::memcpy(starts.data(), documents_.sentence_starts(document),
                      starts.size() * sizeof(std::uint32_t));
        }
        for (std::uint32_t& start : starts) start += tokens;
        writer.append(Column::sent_offsets, starts.data(), starts.size());
        writer.append(Column::doc_sents, &sentences, 1);
      }
      tokens += row.tokens;
      sentences += row.sentences;
      tokens_written_ += row.tokens;
      ++done;
      progress(static_cast<double>(tokens_written_) /
               static_cast<double>(std::max<std::uint64_t>(manifest_.info.tokens, 1)));
    }
    writer.append(Column::doc_offsets, &tokens, 1);
    if (!build_.sentences) return;
    writer.append(Column::sent_offsets, &tokens, 1);
    writer.append(Column::doc_sents, &sentences, 1);
  }

  const TokenisedDocuments& documents_;
  const CorpusBuild& build_;
  Manifest& manifest_;
  Permutation order_;
  std::uint64_t tokens_written_ = 0;
};

Manifest start_manifest(const CorpusBuild& build, const Tokenizer& tokenizer) {
  Manifest manifest;
  CorpusInfo& info = manifest.info;
  info.directory = build.output;
  info.name = build.name;
  info.format = Manifest::format;
  info.tokenizer_kind = tokenizer.kind();
  info.vocab_size = tokenizer.vocab_size();
  info.specials = tokenizer.specials();
  info.random_ids = tokenizer.random_ids();
  info.has_sentences = build.sentences;
  manifest.info.tokenizer_sha256 = tokenizer_digest(tokenizer);
  manifest.sentence_rule = build.sentences ? sentence_rule_name : "none";
  manifest.tool_version = LOCKSTEP_VERSION;
  manifest.token_bytes = info.vocab_size <= 65536 ? 2 : 4;
  manifest.eod_appended = info.specials.eod.has_value();
  manifest.seed = build.seed;
  manifest.validation_fraction = build.validation_fraction;
  manifest.sources = build.inputs;
  return manifest;
}

void write_tokenizer(const Tokenizer& tokenizer, const std::string& output, Manifest& manifest) {
  const std::string directory = output + "/tokenizer";
  std::error_code error;
  fs::create_directory(directory, error);
  if (error) fail("cannot create ", directory, ": ", error.message());
  for (const auto& [name, content] : tokenizer.files()) {
    write_file_durably(directory + "/" + name, content);
    manifest.tokenizer_files.push_back(measure_file(directory + "/" + name));
  }
}

}  // namespace

BuildSummary build_corpus(const CorpusBuild& build,
                          const std::function<void(const BuildProgress&)>& progress) {
  const auto started = Clock::now();
  const auto seconds = [started] {
    return std::chrono::duration<double>(Clock::now() - started).count();
  };
  validate(build);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(build.tokenizer, build.lowercase);
  list_input_files(build.inputs);  // a misspelt input shows before anything is written
  Output output(build.output);
  const Documents documents(build, output.scratch());
  Manifest manifest = start_manifest(build, *tokenizer);

  const std::uint64_t total = documents.bytes();
  const TokeniseOptions options{build.sentences, manifest.eod_appended, manifest.token_bytes,
                                build.jobs};
  const TokenisedDocuments tokenised(documents, *tokenizer, options, output.scratch(),
                                     [&](std::uint64_t bytes, std::uint64_t done) {
                                       if (!progress) return;
                                       const double share =
                                           static_cast<double>(bytes) / static_cast<double>(total);
                                       progress({tokenise_share * share, bytes, done, seconds()});
                                     });

  write_tokenizer(*tokenizer, build.output, manifest);
  Assembly assembly(tokenised, build, manifest);
  assembly.plan();
  double told = seconds();
  assembly.write([&](double share) {
    if (!progress || share == 1 || seconds() - told < 0.2) return;
    told = seconds();
    progress({tokenise_share + (1 - tokenise_share) * share, total, documents.count(), told});
  });
  output.remove_scratch();
  manifest.write(build.output);
  output.keep();

  const CorpusInfo& info = manifest.info;
  if (progress) progress({1, total, info.documents, seconds()});
  return {info.documents, info.sentences, info.tokens, total, seconds(), documents.rule()};
}

}  // namespace lockstep
