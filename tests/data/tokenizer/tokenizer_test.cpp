// open_tokenizer and the kinds without files of their own rules: bytes, characters, SentencePiece,
// tokenizer.json.
#include "data/tokenizer/tokenizer.hpp"

#include <cstring>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/tokenizer/byte_characters.hpp"
#include "data/tokenizer/ids.hpp"
#include "tests/data/tokenizer/tokenizer_support.hpp"

namespace lockstep {
namespace {

using test::Ids;
using test::ids_of;
using test::refusal;
using test::TemporaryDirectory;
using Range = std::pair<std::int32_t, std::int32_t>;

TEST(ByteTokenizer, EveryByteIsItsOwnId) {
  const auto tokenizer = open_tokenizer("bytes");

  EXPECT_EQ(ids_of(*tokenizer, "a\xFF"), (Ids{97, 255}));
  EXPECT_EQ(tokenizer->vocab_size(), 258);
  EXPECT_EQ(tokenizer->specials().eod, 256);
  EXPECT_EQ(tokenizer->specials().mask, 257);
  EXPECT_EQ(tokenizer->random_ids(), (Range{0, 256}));
  EXPECT_TRUE(tokenizer->files().empty());
}

TEST(ByteTokenizer, EveryTextComesBackAndSpecialsGiveNothing) {
  const auto tokenizer = open_tokenizer("bytes");

  for (const std::string& text : test::adversarial_texts()) {
    EXPECT_EQ(tokenizer->decode(ids_of(*tokenizer, text)), text);
  }
  EXPECT_EQ(tokenizer->decode({'a', 256, 257, 'b'}), "ab");
  EXPECT_NE(refusal([&] { tokenizer->decode({258}); }).find("258"), std::string::npos);
}

TEST(OrdinaryIds, AreTheLongestRunWithoutASpecial) {
  SpecialIds specials;
  EXPECT_EQ(ordinary_ids(specials, 10), (Range{0, 10}));
  specials.eod = 9;
  EXPECT_EQ(ordinary_ids(specials, 10), (Range{0, 9}));
  specials.pad = 0;
  specials.mask = 3;
  EXPECT_EQ(ordinary_ids(specials, 10), (Range{4, 9}));
}

class OpenTokenizer : public testing::Test {
 protected:
  std::string opening_error(const std::string& spec,
                            Lowercase lowercase = Lowercase::automatic) const {
    return refusal([&] { open_tokenizer(spec, lowercase); });
  }

  TemporaryDirectory directory_;
};

TEST_F(OpenTokenizer, CharactersAscendAndUnknownOnesHaveAnId) {
  const auto tokenizer = open_tokenizer(directory_.write(
      "characters.json", R"({"kind": "characters", "characters": "\n ab\u00e9\u4e2d"})"));

  EXPECT_EQ(tokenizer->kind(), "characters");
  EXPECT_EQ(tokenizer->vocab_size(), 9);
  EXPECT_EQ(ids_of(*tokenizer, "a\u4E2D\n\u00E9"), (Ids{2, 5, 0, 4}));
  EXPECT_EQ(ids_of(*tokenizer, "z\xFF"), (Ids{7, 7}));
  EXPECT_EQ(tokenizer->specials().eod, 6);
  EXPECT_EQ(tokenizer->specials().unknown, 7);
  EXPECT_EQ(tokenizer->specials().mask, 8);
  EXPECT_EQ(tokenizer->random_ids(), (Range{0, 6}));
  EXPECT_EQ(tokenizer->decode({2, 6, 7, 8, 5}), "a\u4E2D");
}

TEST_F(OpenTokenizer, CharactersOpenAgainFromTheirFiles) {
  const auto tokenizer =
      open_tokenizer(directory_.write("characters.json", R"({"characters": "\u0000\n\"\\az"})"));
  const TemporaryDirectory copy;

  const auto again = test::reopened(*tokenizer, copy);

  EXPECT_EQ(again->vocab_size(), tokenizer->vocab_size());
  const std::string text("z\0\"\\\n", 5);
  EXPECT_EQ(ids_of(*again, text), ids_of(*tokenizer, text));
  EXPECT_EQ(again->decode(ids_of(*again, text)), text);
}

TEST_F(OpenTokenizer, DamagedCharactersAreRefusedByName) {
  for (const char* content : {"", "{", "{}", R"({"characters": 3})", R"({"characters": ""})",
                              R"({"characters": "ba"})", R"({"characters": "aa"})"}) {
    directory_.write("characters.json", content);
    EXPECT_NE(opening_error(directory_.path()).find("characters.json"), std::string::npos)
        << content;
  }
}

TEST_F(OpenTokenizer, WhatIsNotThereIsNamed) {
  EXPECT_NE(opening_error(directory_ / "nowhere").find("nowhere: no such file"), std::string::npos);
  EXPECT_NE(opening_error(directory_.path()).find("no vocabulary in this directory"),
            std::string::npos);
  EXPECT_NE(opening_error(directory_.write("notes.pdf", "x")).find("notes.pdf: unknown kind"),
            std::string::npos);
  EXPECT_NE(opening_error(directory_.write("other.json", "{}")).find("other.json"),
            std::string::npos);
  EXPECT_NE(opening_error("").find("no such file"), std::string::npos);
}

TEST_F(OpenTokenizer, FileThatIsNoFileIsRefused) {
  std::filesystem::create_directory(directory_ / "vocab.txt");
  EXPECT_NE(opening_error(directory_.path()).find("vocab.txt"), std::string::npos);
}

TEST_F(OpenTokenizer, LowercaseWithoutEffectIsRefused) {
  EXPECT_NE(opening_error("bytes", Lowercase::yes).find("--lowercase"), std::string::npos);
}

// A SentencePiece model of a few pieces, written field by field (protocol buffers: tag, length,
// content).
std::string field(int number, const std::string& content) {
  return std::string(1, static_cast<char>(number << 3 | 2)) + static_cast<char>(content.size()) +
         content;
}

std::string piece(const std::string& text, float score, int type) {
  std::string bytes(sizeof(score), '\0');
  std::memcpy(bytes.data(), &score, sizeof(score));
  const std::string fields = field(1, text) + std::string(1, 2 << 3 | 5) + bytes +
                             std::string(1, 3 << 3) + static_cast<char>(type);
  return field(1, fields);
}

std::string small_model() {
  constexpr int normal = 1, unknown = 2, control = 3;
  return piece("<unk>", 0, unknown) + piece("<s>", 0, control) + piece("</s>", 0, control) +
         piece("\u2581", -3, normal) + piece("a", -3, normal) + piece("b", -3, normal) +
         piece("\u2581ab", -1, normal) + piece("<mask>", 0, control);
}

TEST_F(OpenTokenizer, SentencePieceModelOpensByItsEnding) {
  const auto tokenizer = open_tokenizer(directory_.write("small.model", small_model()));

  EXPECT_EQ(tokenizer->kind(), "sentencepiece");
  EXPECT_EQ(tokenizer->vocab_size(), 8);
  EXPECT_EQ(ids_of(*tokenizer, "ab ba"), (Ids{6, 3, 5, 4}));
  EXPECT_EQ(ids_of(*tokenizer, "ax"), (Ids{3, 4, 0}));
  EXPECT_EQ(tokenizer->decode({6, 3, 5, 4, 2}), "ab ba");
  EXPECT_EQ(tokenizer->specials().eod, 2);
  EXPECT_EQ(tokenizer->specials().unknown, 0);
  EXPECT_EQ(tokenizer->specials().mask, 7);
  EXPECT_FALSE(tokenizer->specials().pad.has_value());
  EXPECT_EQ(tokenizer->random_ids(), (Range{3, 7}));
  EXPECT_NE(refusal([&] { tokenizer->decode({8}); }).find("8"), std::string::npos);
}

TEST_F(OpenTokenizer, SentencePieceTakesAnyBytes) {
  const auto tokenizer = open_tokenizer(directory_.write("small.model", small_model()));
  const TemporaryDirectory copy;

  const auto again = test::reopened(*tokenizer, copy);

  for (const std::string& text : test::adversarial_texts()) {
    const Ids ids = ids_of(*tokenizer, text);
    for (const std::int32_t id : ids) EXPECT_LT(id, tokenizer->vocab_size());
    EXPECT_EQ(ids_of(*again, text), ids);
  }
}

TEST_F(OpenTokenizer, DamagedOrAmbiguousModelsAreRefusedByName) {
  const std::string model = small_model();
  for (const std::string& content : {std::string(), model.substr(0, 30), std::string("no model")}) {
    directory_.write("small.model", content);
    EXPECT_NE(opening_error(directory_.path()).find("small.model"), std::string::npos);
  }
  directory_.write("other.model", model);
  EXPECT_NE(opening_error(directory_.path()).find("2 SentencePiece models"), std::string::npos);
}

nlohmann::json hugging_face_bpe() {
  const ByteCharacters characters;
  nlohmann::json vocabulary;
  for (int byte = 0; byte < 256; ++byte)
    vocabulary[characters.to_text(std::string(1, static_cast<char>(byte)))] = byte;
  vocabulary["th"] = 256;
  vocabulary["the"] = 257;
  return {
      {"version", "1.0"},
      {"added_tokens", {{{"id", 258}, {"content", "<|endoftext|>"}, {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", {"t h", "th e"}}}}};
}

TEST_F(OpenTokenizer, HuggingFaceBpeReadsBothFormsOfMerges) {
  nlohmann::json json = hugging_face_bpe();
  const auto older = open_tokenizer(directory_.write("tokenizer.json", json.dump()));
  json["model"]["merges"] = nlohmann::json::parse(R"([["t", "h"], ["th", "e"]])");
  const auto newer = open_tokenizer(directory_.write("tokenizer.json", json.dump()));

  for (const Tokenizer* tokenizer : {older.get(), newer.get()}) {
    EXPECT_EQ(tokenizer->kind(), "gpt2-bpe");
    EXPECT_EQ(tokenizer->vocab_size(), 259);
    EXPECT_EQ(tokenizer->specials().eod, 258);
    EXPECT_EQ(ids_of(*tokenizer, "the th"), (Ids{257, ' ', 256}));
    EXPECT_EQ(tokenizer->files()[0].first, "tokenizer.json");
  }
}

nlohmann::json hugging_face_wordpiece() {
  return {{"added_tokens", {{{"id", 0}, {"content", "[UNK]"}}}},
          {"normalizer",
           {{"type", "BertNormalizer"},
            {"clean_text", true},
            {"handle_chinese_chars", true},
            {"strip_accents", nullptr},
            {"lowercase", true}}},
          {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
          {"model",
           {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", "##"},
            {"vocab", {{"[UNK]", 0}, {"ab", 1}, {"##c", 2}}}}}};
}

TEST_F(OpenTokenizer, HuggingFaceWordPieceKeepsItsCase) {
  nlohmann::json json = hugging_face_wordpiece();
  const auto uncased = open_tokenizer(directory_.write("tokenizer.json", json.dump()));
  json["normalizer"]["lowercase"] = false;
  const auto cased = open_tokenizer(directory_.write("tokenizer.json", json.dump()));
  const TemporaryDirectory copy;

  EXPECT_EQ(ids_of(*uncased, "ABC"), (Ids{1, 2}));
  EXPECT_EQ(ids_of(*cased, "ABC"), (Ids{0}));
  EXPECT_EQ(ids_of(*test::reopened(*cased, copy), "ABC abc"), (Ids{0, 1, 2}));
}

TEST_F(OpenTokenizer, HuggingFacePartsThatChangeIdsAreRefusedByField) {
  const std::tuple<bool, const char*, const char*, const char*> cases[] = {
      {true, "/normalizer", R"({"type": "NFC"})", "`normalizer`"},
      {true, "/pre_tokenizer", R"({"type": "Metaspace"})", "`pre_tokenizer.type` is \"Metaspace\""},
      {true, "/pre_tokenizer", "null", "`pre_tokenizer` is null"},
      {true, "/pre_tokenizer/add_prefix_space", "true", "`pre_tokenizer.add_prefix_space` is true"},
      {true, "/model/type", R"("Unigram")", "`model.type` is \"Unigram\""},
      {true, "/model/byte_fallback", "true", "`model.byte_fallback`"},
      {true, "/model/merges", "7", "`model.merges`"},
      {true, "/model/merges/1", R"(["a"])", "`model.merges`"},
      {true, "/model/merges/1", R"("a b c")", "merges"},
      {true, "/model/vocab", "[]", "vocabulary"},
      {true, "/model", "[]", "`model` is []"},
      {true, "/added_tokens/0/id", "-1", "`added_tokens[0].id`"},
      {true, "/added_tokens/0/id", "65", "`added_tokens[0].id`"},
      {true, "/added_tokens/0/content", "5", "`content`"},
      {true, "/added_tokens/0/id", "9000000000", "`added_tokens[0]`"},
      {false, "/normalizer/strip_accents", "false", "`normalizer.strip_accents`"},
      {false, "/normalizer/lowercase", "7", "`normalizer.lowercase` is 7"},
      {false, "/model/unk_token", R"("<unk>")", "`model.unk_token`"},
  };
  for (const auto& [bpe, pointer, value, wanted] : cases) {
    nlohmann::json json = bpe ? hugging_face_bpe() : hugging_face_wordpiece();
    json[nlohmann::json::json_pointer(pointer)] = nlohmann::json::parse(value);
    const std::string error = opening_error(directory_.write("tokenizer.json", json.dump()));
    EXPECT_NE(error.find("tokenizer.json: "), std::string::npos) << pointer;
    EXPECT_NE(error.find(wanted), std::string::npos) << pointer << ": " << error;
  }
}

}  // namespace
}  // namespace lockstep
