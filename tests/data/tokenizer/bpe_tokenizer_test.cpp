#include "data/tokenizer/bpe_tokenizer.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/tokenizer/bpe_merge.hpp"
#include "data/tokenizer/byte_characters.hpp"
#include "tests/data/tokenizer/tokenizer_support.hpp"

namespace lockstep {
namespace {

using test::Ids;
using test::ids_of;
using test::refusal;
using test::TemporaryDirectory;

// Ids 0 to 255 are the bytes by value, then one per merge, then `more`.
nlohmann::json vocabulary_json(const std::vector<std::string>& made,
                               const std::vector<std::string>& more) {
  const ByteCharacters characters;
  nlohmann::json json;
  for (int byte = 0; byte < 256; ++byte)
    json[characters.to_text(std::string(1, static_cast<char>(byte)))] = byte;
  for (const auto& tokens : {made, more}) {
    for (const std::string& token : tokens) json[token] = json.size();
  }
  return json;
}

constexpr const char* small_merges = "#version: 0.2\nt h\nth e\n\u0120 the\na b\nab c\nb c\n";
const std::vector<std::string> small_made = {"th", "the", "\u0120the", "ab", "abc", "bc"};
enum : std::int32_t { th = 256, the, space_the, ab, abc, bc, eod };

class BpeTokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_.write("vocab.json", vocabulary_json(small_made, {"<|endoftext|>"}).dump());
    directory_.write("merges.txt", small_merges);
  }

  std::string opening_error() const {
    return refusal([this] { open_tokenizer(directory_.path()); });
  }

  TemporaryDirectory directory_;
};

TEST_F(BpeTokenizerTest, MergesLowestRankFirst) {
  const auto tokenizer = open_tokenizer(directory_.path());

  EXPECT_EQ(ids_of(*tokenizer, "the the"), (Ids{the, space_the}));
  EXPECT_EQ(ids_of(*tokenizer, "abc"), (Ids{abc}));
  EXPECT_EQ(ids_of(*tokenizer, "xbcx"), (Ids{'x', bc, 'x'}));
  EXPECT_EQ(ids_of(*tokenizer, "abthab"), (Ids{ab, th, ab}));
}

TEST_F(BpeTokenizerTest, NewlineAndHighBytesHaveIds) {
  const auto tokenizer = open_tokenizer(directory_.path());

  EXPECT_EQ(ids_of(*tokenizer, "\n\xC3\xA9"), (Ids{10, 0xC3, 0xA9}));
  EXPECT_EQ(ids_of(*tokenizer, "\xFF"), (Ids{0xFF}));
}

TEST_F(BpeTokenizerTest, EveryTextComesBack) {
  const auto tokenizer = open_tokenizer(directory_.path());

  for (const std::string& text : test::adversarial_texts()) {
    EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, text)), text);
  }
}

TEST_F(BpeTokenizerTest, EndOfTextInTheTextIsOrdinaryText) {
  const auto tokenizer = open_tokenizer(directory_.path());
  const std::string text = "<|endoftext|>";

  const Ids ids = ids_of(*tokenizer, text);

  EXPECT_EQ(tokenizer->specials().eod, eod);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), eod), 0);
  EXPECT_EQ(tokenizer->decode(ids), text);
  EXPECT_EQ(tokenizer->decode({the, eod}), "the");
  EXPECT_EQ(tokenizer->random_ids(), (std::pair<std::int32_t, std::int32_t>{0, eod}));
}

TEST_F(BpeTokenizerTest, TokenThatAMergeMakesIsNoSpecial) {
  directory_.write("vocab.json", vocabulary_json({"<s", "<s>"}, {"</s>", "<mask>"}).dump());
  directory_.write("merges.txt", "< s\n<s >\n");

  const auto tokenizer = open_tokenizer(directory_.path());

  EXPECT_FALSE(tokenizer->specials().cls.has_value());
  EXPECT_EQ(tokenizer->specials().sep, 258);
  EXPECT_EQ(tokenizer->specials().mask, 259);
  EXPECT_FALSE(tokenizer->specials().eod.has_value());
  EXPECT_EQ(tokenizer->decode({257}), "<s>");
}

TEST_F(BpeTokenizerTest, FilesOpenAsTheSameTokenizer) {
  const auto tokenizer = open_tokenizer(directory_ / "vocab.json");
  const TemporaryDirectory copy;

  const auto again = test::reopened(*tokenizer, copy);

  EXPECT_EQ(again->kind(), "gpt2-bpe");
  EXPECT_EQ(ids_of(*again, "the abc the"), ids_of(*tokenizer, "the abc the"));
}

TEST_F(BpeTokenizerTest, OpenAiFileNamesWork) {
  const TemporaryDirectory names;
  names.write("encoder.json", vocabulary_json(small_made, {}).dump());
  names.write("vocab.bpe", small_merges);

  const auto tokenizer = open_tokenizer(names.path());

  EXPECT_EQ(ids_of(*tokenizer, "the"), (Ids{the}));
  EXPECT_EQ(tokenizer->files()[0].first, "encoder.json");
}

TEST_F(BpeTokenizerTest, DamagedVocabularyIsRefusedByName) {
  const std::string whole = vocabulary_json(small_made, {}).dump();
  for (const std::string& content :
       {std::string(), std::string("{\"a\": 0,"), whole.substr(0, whole.size() / 2),
        std::string("[1, 2]"), std::string("{}"), std::string("{\"a\": \"0\"}"),
        std::string("{\"a\": -1}"), std::string("{\"a\": 1.5}"),
        std::string("{\"a\": 0, \"b\": 0}"), std::string("{\"a\": 4000000000}"),
        std::string("{\"\": 0}"), std::string("{\"a\\nb\": 0, \"c\": 0}"),
        std::string("{\"a\": 0}"), std::string("{\"\xFF\": 0}"), std::string(100000, '[')}) {
    directory_.write("vocab.json", content);
    EXPECT_NE(opening_error().find("vocab.json"), std::string::npos) << content.substr(0, 40);
  }
}

TEST_F(BpeTokenizerTest, DamagedMergesAreRefusedWithTheirLine) {
  for (const char* line : {"t", "t h e", " t", "t ", "", "t  h"}) {
    directory_.write("merges.txt", std::string("#version: 0.2\nt h\n") + line + "\nth e\n");
    const std::string error = opening_error();
    EXPECT_NE(error.find("merges.txt: line 3"), std::string::npos) << line << ": " << error;
  }
  directory_.write("merges.txt", "t h\nq q\n");
  EXPECT_NE(opening_error().find("merge 2 (\"q\" \"q\") needs the token \"qq\""),
            std::string::npos);
}

TEST_F(BpeTokenizerTest, MissingHalfOfThePairIsNamed) {
  std::filesystem::remove(directory_ / "merges.txt");
  EXPECT_NE(opening_error().find("merges.txt: no such file"), std::string::npos);
}

TEST_F(BpeTokenizerTest, IdOutsideOfTheVocabularyIsRefused) {
  const auto tokenizer = open_tokenizer(directory_.path());

  EXPECT_NE(refusal([&] { tokenizer->decode({eod + 1}); }).find("263"), std::string::npos);
  EXPECT_NE(refusal([&] { tokenizer->decode({-1}); }).find("-1"), std::string::npos);
}

TEST(BpeMerge, ListAndHeapGiveTheSameIds) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    // Merges in arbitrary order, even such whose result has a lower rank than its parts need.
    PairRanks ranks(40);
    for (std::uint32_t rank = 0; rank < 40; ++rank) {
      const auto limit = static_cast<std::int32_t>(3 + rank);
      const auto left = static_cast<std::int32_t>(random()) % limit;
      const auto right = static_cast<std::int32_t>(random()) % limit;
      ranks.set(std::abs(left), std::abs(right),
                {static_cast<std::uint32_t>(random() % 1000) * 40 + rank, limit});
    }
    Ids word;
    for (std::size_t i = 0; i < 1 + random() % 60; ++i)
      word.push_back(static_cast<std::int32_t>(random() % 3));
    Ids by_list = word, by_heap = word;
    std::vector<MergeSymbol> scratch;

    merge_short_word(by_list, ranks, scratch);
    merge_long_word(by_heap, ranks);

    EXPECT_EQ(by_list, by_heap) << "round " << round;
  }
}

TEST(BpeMerge, AllOccurrencesComeBeforeThePairsTheyCreate) {
  // a = 0, b = 1, ab = 2, aba = 3: (ab, a) ranks below (a, b), yet both (a, b) are joined first.
  PairRanks ranks(2);
  ranks.set(0, 1, {1, 2});
  ranks.set(2, 0, {0, 3});
  Ids by_list = {0, 1, 0, 1}, by_heap = by_list;
  std::vector<MergeSymbol> scratch;

  merge_short_word(by_list, ranks, scratch);
  merge_long_word(by_heap, ranks);

  EXPECT_EQ(by_list, (Ids{2, 2}));
  EXPECT_EQ(by_heap, (Ids{2, 2}));
}

TEST_F(BpeTokenizerTest, MegabyteWithoutASpaceIsNotQuadratic) {
  const auto tokenizer = open_tokenizer(directory_.path());
  std::string text;
  while (text.size() < 1000000) text += "theabc";

  const Ids ids = ids_of(*tokenizer, text);

  ASSERT_EQ(ids.size(), text.size() / 3);
  EXPECT_EQ(ids[0], the);
  EXPECT_EQ(ids[1], abc);
}

}  // namespace
}  // namespace lockstep
