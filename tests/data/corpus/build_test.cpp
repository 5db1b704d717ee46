// Every input form, jobs and shards: what goes in comes out again.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <set>
#include <sys/wait.h>
#include <unistd.h>

#include <zlib.h>

#include "core/hdf5.hpp"
#include "data/corpus.hpp"
#include "tests/data/corpus/fixture.hpp"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

class CorpusBuildTest : public Scratch {
 protected:
  std::vector<std::string> shown(const std::string& directory) {
    std::vector<std::string> documents;
    for (std::uint64_t i = 0; i < read_corpus_info(directory).documents; ++i) {
      documents.push_back(show_document(directory, i));
    }
    std::sort(documents.begin(), documents.end());
    return documents;
  }
  std::vector<std::string> built(DocumentRule rule,
                                 const std::vector<std::string>& inputs,
                                 bool sentences = false) {
    CorpusBuild build = build_of("corpus" + std::to_string(number_++), inputs);
    build.documents = rule;
    build.sentences = sentences;
    const BuildSummary summary = build_corpus(build, {});
    verify_corpus(build.output);
    std::vector<std::string> documents = shown(build.output);
    EXPECT_EQ(summary.documents, documents.size());
    return documents;
  }

 private:
  int number_ = 0;
};

using Texts = std::vector<std::string>;

TEST_F(CorpusBuildTest, TakesAFileByteForByte) {
  const std::string bytes("a\r\n\n\xff\x00z\n", 8);
  const std::string file = write("a.txt", bytes);

  EXPECT_EQ(built(DocumentRule::file, {file}), Texts{bytes});
  EXPECT_EQ(built(DocumentRule::file, {file}, true), Texts{bytes});
}

TEST_F(CorpusBuildTest, TakesDirectoriesByName) {
  write("in/b.txt", "second");
  write("in/a/z.txt", "first");
  write("in/c.txt", "");

  EXPECT_EQ(built(DocumentRule::file, {path("in")}), (Texts{"", "first", "second"}));
}

TEST_F(CorpusBuildTest, CutsAtBlankLines) {
  const std::string file = write("a.txt", "\n \none\ntwo\r\n\t\n\nthree\n");

  EXPECT_EQ(built(DocumentRule::blank_line, {file}), (Texts{"one\ntwo", "three"}));
  EXPECT_EQ(built(DocumentRule::automatic, {file}), (Texts{"one\ntwo", "three"}));
}

TEST_F(CorpusBuildTest, CutsLines) {
  const std::string file = write("a.txt", "one\n\n two\r\nthree");

  EXPECT_EQ(built(DocumentRule::line, {file}), (Texts{" two", "one", "three"}));
}

TEST_F(CorpusBuildTest, ReadsJsonLinesAlsoCompressed) {
  const std::string lines = "{\"text\": \"one\\n\\u00e9\"}\n\n{\"id\": 3, \"text\": \"\"}\n";
  const std::string file = write("a.jsonl", lines);
  const gzFile packed = gzopen(path("b.jsonl.gz").c_str(), "wb");
  gzwrite(packed, lines.data(), static_cast<unsigned>(lines.size()));
  gzclose(packed);

  const Texts expected = {"", "one\n\u00e9"};
  EXPECT_EQ(built(DocumentRule::jsonl, {file}), expected);
  EXPECT_EQ(built(DocumentRule::automatic, {path("b.jsonl.gz")}), expected);
}

TEST_F(CorpusBuildTest, ReadsWikiExtractorFiles) {
  const std::string file = write("wiki_00",
                                 "<doc id=\"1\" title=\"T\">\nT\n\nText.\n</doc>\n<doc "
                                 "id=\"2\">\n</doc>\n<doc id=\"3\">\nU\n</doc>\n");

  EXPECT_EQ(built(DocumentRule::wiki, {file}), (Texts{"", "T\n\nText.", "U"}));
  EXPECT_EQ(built(DocumentRule::automatic, {file}), (Texts{"", "T\n\nText.", "U"}));
}

TEST_F(CorpusBuildTest, RefusesBadInputs) {
  const auto refused = [&](DocumentRule rule, const std::string& input) {
    CorpusBuild build = build_of("out", {input});
    build.documents = rule;
    const std::string message = message_of([&] { build_corpus(build, {}); }, ExitCode::refused);
    EXPECT_FALSE(fs::exists(build.output));
    return message;
  };

  EXPECT_HAS(refused(DocumentRule::file, path("nothing.txt")), "nothing.txt");
  EXPECT_HAS(refused(DocumentRule::file, write("empty.txt", "")), "empty.txt");
  EXPECT_HAS(refused(DocumentRule::blank_line, write("blank.txt", "\n \n")), "blank.txt");
  EXPECT_HAS(refused(DocumentRule::jsonl, write("x.jsonl", "{\"text\":\"a\"}\n{\"text\":")),
             "x.jsonl line 2");
  EXPECT_HAS(refused(DocumentRule::jsonl, write("y.jsonl", "{\"body\":\"a\"}\n")), "--json-key");
  EXPECT_HAS(refused(DocumentRule::jsonl, write("z.jsonl", "[1]\n")), "z.jsonl line 1");
  EXPECT_HAS(refused(DocumentRule::wiki, write("w1", "text")), "w1");
  EXPECT_HAS(refused(DocumentRule::wiki, write("w2", "<doc id=1>\ntext")), "w2");
  EXPECT_HAS(refused(DocumentRule::file, write("a.gz", "no gzip")), "a.gz");
}

TEST_F(CorpusBuildTest, RefusesACutGzip) {
  const gzFile packed = gzopen(path("a.gz").c_str(), "wb");
  const std::string text = prose(300, 1);
  gzwrite(packed, text.data(), static_cast<unsigned>(text.size()));
  gzclose(packed);
  fs::resize_file(path("a.gz"), fs::file_size(path("a.gz")) / 2);

  EXPECT_HAS(
      message_of([&] { build_corpus(build_of("out", {path("a.gz")}), {}); }, ExitCode::refused),
      "a.gz");
}

TEST_F(CorpusBuildTest, RefusesAnOccupiedOutputAndLeavesItAlone) {
  const std::string input = write("a.txt", "text");
  write("out/precious", "x");

  EXPECT_HAS(message_of([&] { build_corpus(build_of("out", {input}), {}); }, ExitCode::refused),
             "out");
  EXPECT_TRUE(fs::exists(path("out/precious")));
  EXPECT_HAS(message_of([&] { build_corpus(build_of("a.txt", {input}), {}); }, ExitCode::refused),
             "a.txt");
}

TEST_F(CorpusBuildTest, DoesNotDependOnJobs) {
  const std::string input = write("a.txt", prose(400, 1));
  std::set<std::string> fingerprints;
  for (int jobs : {1, 2, 3, 7}) {
    CorpusBuild build = build_of("jobs" + std::to_string(jobs), {input});
    build.documents = DocumentRule::blank_line;
    build.jobs = jobs;
    build.sentences = true;
    build.shard_bytes = 20000;
    build.validation_fraction = 0.2;
    build.seed = 3;

    build_corpus(build, {});

    const CorpusInfo info = read_corpus_info(build.output);
    fingerprints.insert(info.fingerprint);
    EXPECT_GT(info.shards.size(), 3u);
    EXPECT_EQ(info.splits, (Texts{"train", "validation"}));
    for (const std::string& shard : info.shards)
      EXPECT_TRUE(fs::exists(build.output + "/" + shard));
    EXPECT_EQ(Corpus(build.output, "train").num_documents() +
                  Corpus(build.output, "validation").num_documents(),
              400u);
    verify_corpus(build.output);
  }
  EXPECT_EQ(fingerprints.size(), 1u);
}

TEST_F(CorpusBuildTest, ReportsTheErrorOfAWorker) {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "{\"text\":\"some text\"}\n";
  CorpusBuild build = build_of("out", {write("a.jsonl", lines + "{}\n")});
  build.documents = DocumentRule::jsonl;
  build.jobs = 3;

  EXPECT_HAS(message_of([&] { build_corpus(build, {}); }, ExitCode::refused), "a.jsonl line 101");
  EXPECT_FALSE(fs::exists(build.output));
}

TEST_F(CorpusBuildTest, StoresSentencesOfTheirOwnTokens) {
  CorpusBuild build = build_of("out", {write("a.txt", "One two. Three.\nFour\n\nFive. Six.\n")});
  build.documents = DocumentRule::blank_line;
  build.sentences = true;

  EXPECT_EQ(build_corpus(build, {}).sentences, 5u);

  const Corpus corpus(build.output, "train");
  std::set<std::string> sentences;
  for (index_t d = 0; d < 2; ++d) {
    for (index_t s = 0; s < corpus.num_sentences(0, d); ++s) {
      const index_t begin = corpus.sentence_begin(0, d, s);
      const index_t end = s + 1 < corpus.num_sentences(0, d) ? corpus.sentence_begin(0, d, s + 1)
                                                             : corpus.document_end(0, d);
      std::vector<std::int32_t> ids(static_cast<std::size_t>(end - begin));
      corpus.read(0, begin, end - begin, ids.data());
      std::string text;
      for (std::int32_t id : ids) {
        if (id < 256) text += static_cast<char>(id);
      }
      sentences.insert(text);
      EXPECT_EQ(corpus.document_of(0, begin), d);
    }
  }
  EXPECT_EQ(sentences, (std::set<std::string>{"One two.", " Three.", "\nFour", "Five.", " Six."}));
}

TEST_F(CorpusBuildTest, KeepsADocumentInItsSplitWhenOthersAreAdded) {
  const auto validation = [&](const std::string& name, int documents) {
    CorpusBuild build = build_of(name, {write(name + ".txt", prose(documents, 1))});
    build.documents = DocumentRule::blank_line;
    build.validation_fraction = 0.25;
    build_corpus(build, {});
    const Corpus corpus(build.output, "validation");
    std::set<std::string> texts;
    const std::uint64_t train = read_corpus_info(build.output).documents - corpus.num_documents();
    for (std::uint64_t i = 0; i < corpus.num_documents(); ++i)
      texts.insert(show_document(build.output, train + i));
    return texts;
  };

  const std::set<std::string> few = validation("few", 50), many = validation("many", 100);

  EXPECT_FALSE(few.empty());
  EXPECT_TRUE(std::includes(many.begin(), many.end(), few.begin(), few.end()));
}

TEST_F(CorpusBuildTest, RefusesASplitWithoutDocuments) {
  CorpusBuild build = build_of("out", {write("a.txt", "one document")});
  build.validation_fraction = 0.1;

  EXPECT_HAS(message_of([&] { build_corpus(build, {}); }, ExitCode::refused),
             "--validation-fraction");
}

TEST_F(CorpusBuildTest, LeavesNoManifestWhenKilled) {
  CorpusBuild build = build_of("out", {write("a.txt", prose(20000, 1))});
  build.documents = DocumentRule::blank_line;
  build.jobs = 2;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    build_corpus(build, [](const BuildProgress&) { kill(getpid(), SIGKILL); });
    _exit(0);
  }
  int status = 0;

  waitpid(child, &status, 0);

  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(build.output + "/manifest.json"));
  EXPECT_HAS(message_of([&] { read_corpus_info(build.output); }, ExitCode::refused),
             "manifest.json");
}

// A vocabulary above 65536 needs u32 tokens.
TEST_F(CorpusBuildTest, WidensTokensForLargeVocabularies) {
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (int i = 0; i < 70000; ++i) vocab += "t" + std::to_string(i) + "\n";
  CorpusBuild build = build_of("out", {write("a.txt", "t69999 t3 t65535")});
  build.tokenizer = write("large/vocab.txt", vocab);

  build_corpus(build, {});

  const Corpus corpus(build.output, "all");
  std::vector<std::int32_t> ids(3);
  corpus.read(0, 0, 3, ids.data());
  EXPECT_EQ(ids, (std::vector<std::int32_t>{70004, 8, 65540}));
  const hdf5::Reader file(build.output + "/" + corpus.info().shards[0]);
  EXPECT_EQ(file.dataset("/tokens").item_bytes, 4u);
}

}  // namespace
}  // namespace lockstep
