// Damaged and hostile corpora: every changed byte is found, and named; nothing is read outside of
// the files.
#include <csignal>
#include <functional>
#include <sstream>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/checksum.hpp"
#include "core/hdf5.hpp"
#include "data/corpus.hpp"
#include "data/loader.hpp"
#include "data/manifest.hpp"
#include "tests/data/corpus/fixture.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

class DamagedCorpus : public Scratch {
 protected:
  void SetUp() override {
    CorpusBuild build = build_of("whole", {write("a.txt", prose(300, 2))});
    build.documents = DocumentRule::blank_line;
    build.sentences = true;
    build.tokenizer = wordpiece();
    build_corpus(build, {});
    whole_ = build.output;
    shard_ = read_corpus_info(whole_).shards.at(0);
  }
  std::string copy() {
    const std::string to = path("copy" + std::to_string(number_++));
    fs::copy(whole_, to, fs::copy_options::recursive);
    return to;
  }
  static void flip(const std::string& file, std::uint64_t byte, int bit) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(byte));
    const int value = stream.get();
    stream.seekp(static_cast<std::streamoff>(byte));
    stream.put(static_cast<char>(value ^ (1 << bit)));
  }
  // Rewrites the manifest with a valid checksum of its own.
  static void edit_manifest(const std::string& corpus, const std::function<void(Json&)>& edit) {
    Json root = Json::parse(read_file(corpus + "/manifest.json"));
    root.erase("manifest_sha256");
    edit(root);
    std::string text = root.dump(2);
    text.resize(text.size() - 2);
    Sha256 sha;
    sha.update(text.data(), text.size());
    std::ofstream(corpus + "/manifest.json")
        << text << ",\n  \"manifest_sha256\": \"" << sha.hex() << "\"\n}\n";
  }
  static void read_everything(const std::string& directory) {
    const Corpus corpus(directory, "all");
    std::vector<std::int32_t> ids(static_cast<std::size_t>(corpus.shard_tokens(0)));
    corpus.read(0, 0, corpus.shard_tokens(0), ids.data());
  }

  std::string whole_, shard_;

 private:
  int number_ = 0;
};

TEST_F(DamagedCorpus, VerifyIsContentWithAWholeOne) {
  EXPECT_NO_THROW(verify_corpus(whole_));
  EXPECT_NO_THROW(read_everything(whole_));
}

TEST_F(DamagedCorpus, VerifyFindsAFlippedBitInEveryDataset) {
  for (const char* name :
       {"/tokens", "/doc_offsets", "/doc_ids", "/sent_offsets", "/doc_sents", "/crc/tokens",
        "/crc/doc_offsets", "/crc/doc_ids", "/crc/sent_offsets", "/crc/doc_sents"}) {
    const std::string corpus = copy(), file = corpus + "/" + shard_;
    const std::uint64_t offset = hdf5::Reader(file).dataset(name).offset;
    ASSERT_GT(offset, 0u);

    flip(file, offset + 3, 5);

    const std::string message = message_of([&] { verify_corpus(corpus); }, ExitCode::failed);
    EXPECT_HAS(message, shard_);
    EXPECT_HAS(message, std::string(name).substr(std::string(name).rfind('/') + 1));
    EXPECT_HAS(message, "block 0");
  }
}

TEST_F(DamagedCorpus, VerifyFindsAFlippedBitAnywhere) {
  const std::string corpus = copy();
  std::vector<std::string> files = {shard_, "manifest.json", "tokenizer/vocab.txt"};
  std::mt19937 draw(1);
  for (const std::string& name : files) {
    const std::string file = corpus + "/" + name;
    const std::uint64_t size = fs::file_size(file);
    for (int trial = 0; trial < 60; ++trial) {
      // The first ones in the header, where HDF5 keeps its own structures.
      const std::uint64_t byte =
          trial < 20 ? draw() % std::min<std::uint64_t>(size, 2048) : draw() % size;
      const int bit = static_cast<int>(draw() % 8);
      flip(file, byte, bit);

      const std::string message = message_of([&] { verify_corpus(corpus); }, ExitCode::failed);

      EXPECT_HAS(message, name);
      flip(file, byte, bit);
    }
  }
  EXPECT_NO_THROW(verify_corpus(corpus));
}

TEST_F(DamagedCorpus, ReadingFindsAFlippedBitAtFirstUse) {
  const std::string corpus = copy(), file = corpus + "/" + shard_;
  flip(file, hdf5::Reader(file).dataset("/tokens").offset + 100, 0);

  const std::string message = message_of([&] { read_everything(corpus); }, ExitCode::failed);

  EXPECT_HAS(message, shard_);
  EXPECT_HAS(message, "/tokens");
}

TEST_F(DamagedCorpus, TheLoaderCarriesTheErrorOfItsThread) {
  const std::string corpus = copy(), file = corpus + "/" + shard_;
  flip(file, hdf5::Reader(file).dataset("/tokens").offset + 100, 0);
  LoaderConfig config;
  config.corpora = {{corpus}};
  config.sequence_length = 16;
  config.global_batch_size = config.microbatch_size = 4;

  Loader loader(config);

  EXPECT_HAS(message_of([&] { loader.next(1); }, ExitCode::failed), shard_);
  EXPECT_HAS(message_of([&] { loader.next(1); }, ExitCode::failed), shard_);
}

TEST_F(DamagedCorpus, TruncatedMissingOrGrownFilesAreNamed) {
  std::string corpus = copy();
  fs::resize_file(corpus + "/" + shard_, fs::file_size(corpus + "/" + shard_) * 2 / 3);
  EXPECT_HAS(message_of([&] { verify_corpus(corpus); }, ExitCode::failed), shard_);
  EXPECT_HAS(message_of([&] { read_everything(corpus); }, ExitCode::refused), shard_);

  corpus = copy();
  std::ofstream(corpus + "/" + shard_, std::ios::app) << "x";
  EXPECT_HAS(message_of([&] { verify_corpus(corpus); }, ExitCode::failed), shard_);

  corpus = copy();
  fs::remove(corpus + "/" + shard_);
  EXPECT_HAS(message_of([&] { read_everything(corpus); }, ExitCode::refused), shard_);

  corpus = copy();
  fs::resize_file(corpus + "/manifest.json", fs::file_size(corpus + "/manifest.json") / 2);
  EXPECT_HAS(message_of([&] { read_corpus_info(corpus); }, ExitCode::refused), "manifest.json");

  corpus = copy();
  fs::remove(corpus + "/tokenizer/vocab.txt");
  EXPECT_HAS(message_of([&] { open_corpus_tokenizer(corpus); }, ExitCode::refused), "vocab.txt");
  EXPECT_HAS(message_of([&] { read_corpus_info(path("nowhere")); }, ExitCode::refused), "nowhere");
}

TEST_F(DamagedCorpus, HostileManifestFieldsAreNamed) {
  const std::string corpus = copy();
  const Json whole = Json::parse(read_file(corpus + "/manifest.json"));
  const auto refused = [&](const std::string& pointer, const Json& value) {
    edit_manifest(corpus, [&](Json& root) {
      root = whole;
      root.erase("manifest_sha256");
      root[Json::json_pointer(pointer)] = value;
    });
    const std::string message =
        message_of([&] { Corpus opened(corpus, "all"); }, ExitCode::refused);
    EXPECT_HAS(message, "manifest.json");
    return message;
  };

  EXPECT_HAS(refused("/format", "other"), "format");
  EXPECT_HAS(refused("/format_major", 2), "format_major");
  EXPECT_HAS(refused("/tokens", -1), "tokens");
  EXPECT_HAS(refused("/tokens", 1e300), "tokens");
  EXPECT_HAS(refused("/documents", "many"), "documents");
  EXPECT_HAS(refused("/documents", 7), "sums");
  EXPECT_HAS(refused("/token_bytes", 3), "token_bytes");
  EXPECT_HAS(refused("/eod_appended", true), "eod_appended");
  EXPECT_HAS(refused("/has_sentences", 1), "has_sentences");
  EXPECT_HAS(refused("/fingerprint", "abc"), "fingerprint");
  EXPECT_HAS(refused("/shards", Json::array()), "shards");
  EXPECT_HAS(refused("/shards", 3), "shards");
  EXPECT_HAS(refused("/shards/0", "x"), "shards[0]");
  EXPECT_HAS(refused("/shards/0/file", "../x.h5"), "shards[0].file");
  EXPECT_HAS(refused("/shards/0/file", "/etc/passwd"), "shards[0].file");
  EXPECT_HAS(refused("/shards/0/file", ".."), "shards[0].file");
  EXPECT_HAS(refused("/shards/0/split", "test"), "shards[0].split");
  EXPECT_HAS(refused("/shards/0/tokens", std::uint64_t{1} << 40), "shards[0].tokens");
  EXPECT_HAS(refused("/tokenizer/vocab_size", 0), "tokenizer.vocab_size");
  EXPECT_HAS(refused("/tokenizer/vocab_size", std::uint64_t{1} << 40), "tokenizer.vocab_size");
  EXPECT_HAS(refused("/tokenizer/special_ids/mask", 99999), "tokenizer.special_ids.mask");
  EXPECT_HAS(refused("/tokenizer/random_ids/last", 99999), "tokenizer.random_ids.last");
  EXPECT_HAS(refused("/tokenizer/files/0/file", "../../vocab.txt"), "tokenizer.files[0].file");
}

// The counts agree with each other but not with the shard.
TEST_F(DamagedCorpus, CountsThatAreNotTheShardsAreRefused) {
  const std::string corpus = copy();
  edit_manifest(corpus, [](Json& root) {
    root["tokens"] = root["tokens"].get<std::uint64_t>() + 1000000;
    root["shards"][0]["tokens"] = root["tokens"];
  });

  EXPECT_HAS(message_of([&] { read_everything(corpus); }, ExitCode::refused), "/tokens");
}

TEST_F(DamagedCorpus, IdsOutsideTheVocabularyAreNotHandedOut) {
  const std::string corpus = copy();
  edit_manifest(corpus, [](Json& root) {
    root["tokenizer"]["vocab_size"] = 6;
    root["tokenizer"]["random_ids"] = {{"first", 0}, {"last", 6}};
  });

  EXPECT_HAS(message_of([&] { read_everything(corpus); }, ExitCode::failed), "vocabulary");
}

TEST_F(DamagedCorpus, AFileCutWhileInUseEndsTheProcessWithOneLine) {
  const std::string corpus = copy(), file = corpus + "/" + shard_;
  const auto read_after_cut = [&] {
    const Corpus opened(corpus, "all");
    fs::resize_file(file, 0);
    std::int32_t id = 0;
    opened.read(0, opened.shard_tokens(0) - 1, 1, &id);
  };

  EXPECT_EXIT(read_after_cut(), testing::ExitedWithCode(1),
              "lockstep: error: .*\\.h5 was truncated while in use");
}

}  // namespace
}  // namespace lockstep
