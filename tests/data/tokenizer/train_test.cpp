#include "data/tokenizer/train.hpp"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <zlib.h>

#include "core/durable_file.hpp"
#include "data/tokenizer/pair_trainer.hpp"
#include "data/tokenizer/train_wordpiece.hpp"
#include "tests/data/tokenizer/tokenizer_support.hpp"

namespace lockstep {
namespace {

using test::Ids;
using test::ids_of;
using test::refusal;
using test::TemporaryDirectory;

std::string small_text() {
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += "The quick brown fox jumps over the lazy dog; the dog's name is Caf\u00E9.\n";
    text += "Number " + std::to_string(i * 37) + " follows the others, then the next.\n\n";
  }
  return text;
}

class Train : public testing::Test {
 protected:
  Train() { input_ = directory_.write("text.txt", small_text()); }

  std::string train(const std::string& kind, index_t vocab_size, const std::string& name) const {
    train_tokenizer(kind, vocab_size, {input_}, directory_ / name);
    return directory_ / name;
  }

  TemporaryDirectory directory_;
  std::string input_;
};

TEST(LearnMerges, TakesTheMostFrequentPairAndTheSmallerOfEqualOnes) {
  std::vector<std::string> tokens = {"a", "b", "c"};
  // ab: 5, bc: 5, ca: 3; "ab" is the smaller of the first two.
  const std::vector<TrainingWord> words = {{{0, 1}, 2}, {{0, 1, 2}, 3}, {{1, 2}, 2}, {{2, 0}, 3}};

  const auto merges =
      learn_merges(words, tokens, 6, [](const auto& a, const auto& b) { return a + b; });

  // After ab: (ab, c) 3, ca 3, bc 2.
  EXPECT_EQ(tokens, (std::vector<std::string>{"a", "b", "c", "ab", "abc", "ca"}));
  EXPECT_EQ(merges[0], (std::pair<std::int32_t, std::int32_t>{0, 1}));
  EXPECT_EQ(merges[1], (std::pair<std::int32_t, std::int32_t>{3, 2}));
}

TEST(LearnMerges, StopsWhenNoPairOccursTwice) {
  std::vector<std::string> tokens = {"a", "b"};

  const auto merges =
      learn_merges({{{0, 1}, 1}}, tokens, 100, [](const auto& a, const auto& b) { return a + b; });

  EXPECT_TRUE(merges.empty());
}

TEST(LearnMerges, TwoWaysToTheSameTextMakeOneToken) {
  std::vector<std::string> tokens = {"a", "b", "c", "x"};
  // ab is joined first and gives abc in the first word; bcx keeps bc apart, then a + bc meets abc
  // again.
  const std::vector<TrainingWord> words = {
      {{0, 1, 2}, 9}, {{0, 1}, 9}, {{1, 2}, 8}, {{1, 2, 3}, 7}};

  learn_merges(words, tokens, 50, [](const auto& a, const auto& b) { return a + b; });

  EXPECT_EQ(std::set<std::string>(tokens.begin(), tokens.end()).size(), tokens.size());
}

TEST_F(Train, BpeKeepsToItsSizeAndGivesTextBack) {
  const auto tokenizer = open_tokenizer(train("bpe", 300, "bpe"));

  EXPECT_EQ(tokenizer->vocab_size(), 300);
  EXPECT_EQ(tokenizer->specials().eod, 299);
  const Ids ids = ids_of(*tokenizer, small_text());
  EXPECT_EQ(tokenizer->decode(ids), small_text());
  EXPECT_LT(ids.size() * 2, small_text().size());
  for (const std::string& text : test::adversarial_texts()) {
    EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, text)), text);
  }
}

TEST_F(Train, BpeWithoutRoomForMergesIsBytes) {
  const auto tokenizer = open_tokenizer(train("bpe", 257, "bytes"));

  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_EQ(ids_of(*tokenizer, "the").size(), 3u);
}

TEST_F(Train, SmallTextEndsBelowTheSizeAskedFor) {
  const auto tokenizer = open_tokenizer(train("bpe", 50000, "large"));

  EXPECT_LT(tokenizer->vocab_size(), 1000);
  EXPECT_EQ(tokenizer->specials().eod, tokenizer->vocab_size() - 1);
}

TEST_F(Train, WordPieceLearnsWordsAndLowersCase) {
  const auto tokenizer = open_tokenizer(train("wordpiece", 200, "wordpiece"));

  EXPECT_LE(tokenizer->vocab_size(), 200);
  EXPECT_EQ(tokenizer->specials().pad, 0);
  EXPECT_EQ(tokenizer->specials().mask, 4);
  EXPECT_EQ(ids_of(*tokenizer, "THE caf\u00E9"), ids_of(*tokenizer, "the cafe"));
  EXPECT_EQ(ids_of(*tokenizer, "the").size(), 1u);
  const Ids ids = ids_of(*tokenizer, small_text());
  // The alphabet covers 99.95 % of the characters: a digit that occurs once may be left out.
  const auto num_unknown = std::count(ids.begin(), ids.end(), tokenizer->specials().unknown);
  EXPECT_LE(num_unknown * 1000, static_cast<std::ptrdiff_t>(ids.size()));
  EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, "Jumps over")), "jumps over");
}

TEST_F(Train, SmallWordPieceKeepsTheMostFrequentCharacters) {
  WordCounts words = {{"aaab", 1000}, {"ba", 900}};
  for (char c = 'c'; c <= 'z'; ++c) words.emplace(std::string(2, c), 2);

  const std::vector<std::string> tokens = learn_wordpieces(words, 16);

  EXPECT_LE(tokens.size(), 16u);
  for (const char* kept : {"a", "b", "##a", "##b"}) {
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), kept), 1) << kept;
  }
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), "ba"), 1);
}

TEST_F(Train, CharactersAreSortedAndComplete) {
  const auto tokenizer = open_tokenizer(train("characters", 0, "characters"));

  const std::string text = small_text();
  const Ids ids = ids_of(*tokenizer, text);
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_EQ(ids_of(*tokenizer, "\n ").front(), 0);
  EXPECT_LT(ids_of(*tokenizer, "y").front(), ids_of(*tokenizer, "\u00E9").front());
}

TEST_F(Train, EqualTextGivesEqualFilesHoweverItIsCut) {
  const std::string text = small_text();
  const std::size_t middle = text.find('\n', text.size() / 2) + 1;
  std::filesystem::create_directories(directory_ / "parts/below");
  directory_.write("parts/a.txt", text.substr(0, middle));
  directory_.write("parts/below/b.txt", text.substr(middle));
  const std::string compressed = directory_ / "text.gz";
  gzFile file = gzopen(compressed.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
            static_cast<int>(text.size()));
  gzclose(file);

  for (const std::string kind : {"bpe", "wordpiece", "characters"}) {
    const std::string whole = train(kind, 280, kind);
    train_tokenizer(kind, 280, {directory_ / "parts"}, directory_ / (kind + "-parts"));
    train_tokenizer(kind, 280, {compressed}, directory_ / (kind + "-gz"));
    for (const auto& [name, content] : open_tokenizer(whole)->files()) {
      EXPECT_EQ(read_file(whole + "/" + name), content);
      EXPECT_EQ(read_file(directory_ / (kind + "-parts/" + name)), content) << kind;
      EXPECT_EQ(read_file(directory_ / (kind + "-gz/" + name)), content) << kind;
    }
  }
}

TEST_F(Train, AnyBytesCanBeLearnedFrom) {
  std::string bytes;
  for (const std::string& text : test::adversarial_texts()) bytes += text + text + "\n";
  const std::string input = directory_.write("bytes.bin", bytes + std::string(5000, 'z'));

  for (const std::string kind : {"bpe", "wordpiece", "characters"}) {
    train_tokenizer(kind, 400, {input}, directory_ / kind);
    const auto tokenizer = open_tokenizer(directory_ / kind);
    for (const std::int32_t id : ids_of(*tokenizer, bytes)) EXPECT_LT(id, tokenizer->vocab_size());
  }
}

TEST_F(Train, WrongRequestsAreRefusedInOneLine) {
  const auto error = [&](const std::string& kind, index_t size, const std::string& input,
                         const std::string& output) {
    return refusal([&] { train_tokenizer(kind, size, {input}, output); });
  };
  const std::string out = directory_ / "out";
  std::filesystem::create_directory(directory_ / "empty");

  EXPECT_NE(error("bpee", 300, input_, out).find("--kind bpee"), std::string::npos);
  EXPECT_NE(error("bpe", 256, input_, out).find("--vocab-size 256"), std::string::npos);
  EXPECT_NE(error("wordpiece", 5, input_, out).find("--vocab-size 5"), std::string::npos);
  EXPECT_NE(error("bpe", -1, input_, out).find("--vocab-size -1"), std::string::npos);
  EXPECT_NE(error("bpe", 300, directory_ / "none.txt", out).find("none.txt"), std::string::npos);
  EXPECT_NE(error("bpe", 300, directory_ / "empty", out).find("no input files"), std::string::npos);
  EXPECT_NE(error("characters", 0, directory_.write("void.txt", ""), out).find("void.txt"),
            std::string::npos);
  EXPECT_NE(error("bpe", 300, input_, directory_.path()).find("holds files"), std::string::npos);
  EXPECT_NE(error("bpe", 300, input_, input_).find("no directory"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(Train, CutShortGzipFailsByName) {
  const std::string compressed = directory_ / "text.gz";
  gzFile file = gzopen(compressed.c_str(), "wb");
  const std::string text = small_text();
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  std::filesystem::resize_file(compressed, std::filesystem::file_size(compressed) / 2);

  std::string message;
  try {
    train_tokenizer("characters", 0, {compressed}, directory_ / "out");
  } catch (const Error& error) {
    message = error.what();
    EXPECT_EQ(error.code(), ExitCode::failed);
  }

  EXPECT_NE(message.find("text.gz"), std::string::npos) << message;
}

}  // namespace
}  // namespace lockstep
