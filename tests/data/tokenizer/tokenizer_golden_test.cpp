// Ids of the original programs on whole texts, from the directory that LOCKSTEP_SHARED names. The
// files are too large for the repository; the same rules are checked by hand-made cases in the
// other tests here.
#include <cstdlib>
#include <sstream>
#include <tuple>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/checksum.hpp"
#include "core/durable_file.hpp"
#include "data/tokenizer/tokenizer.hpp"
#include "tests/data/tokenizer/tokenizer_support.hpp"

namespace lockstep {
namespace {

using Lines = std::vector<std::string>;

struct GoldenTokenizer {
  const char *name, *spec;
  Lowercase lowercase;
};

const GoldenTokenizer golden_tokenizers[] = {
    {"gpt2", "gpt2", Lowercase::automatic},
    {"bert-uncased", "bert/bert-base-uncased-vocab.txt", Lowercase::automatic},
    {"bert-cased", "bert/bert-base-cased-vocab.txt", Lowercase::automatic},
    {"spm-unigram1000", "sentencepiece/test_model_unigram1000.model", Lowercase::automatic},
    {"spm-llama2", "sentencepiece/llama2_bpe32000.model", Lowercase::automatic},
};

// Lines as Python's split("\n") gives them: CR stays.
Lines lines_of(const std::string& path, std::size_t limit) {
  std::istringstream in(read_file(path));
  Lines lines;
  for (std::string line; lines.size() < limit && std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string joined(const std::vector<std::int32_t>& ids) {
  std::string text;
  for (const std::int32_t id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

class TokenizerGolden : public testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("LOCKSTEP_SHARED");
    if (shared == nullptr) GTEST_SKIP() << "LOCKSTEP_SHARED names no directory with the golden ids";
    data_ = std::string(shared) + "/data";
  }

  Lines text(const std::string& name) const {
    constexpr std::size_t all = 1u << 30;
    if (name == "bert_sample_text")
      return lines_of(data_ + "/text-small/bert_sample_text.txt", all);
    if (name == "tinyshakespeare_first500")
      return lines_of(data_ + "/tinyshakespeare/input.txt", 500);
    if (name == "wikitext2_test_first500") return lines_of(data_ + "/wikitext-2/test.txt", 500);
    Lines lines = lines_of(data_ + "/goldens/" + name + ".txt", all);
    if (name != "adversarial") return lines;
    for (std::string& line : lines) line = nlohmann::json::parse(line).get<std::string>();
    return lines;
  }

  std::string data_;
};

TEST_F(TokenizerGolden, IdsEqualTheOriginalPrograms) {
  for (const GoldenTokenizer& golden : golden_tokenizers) {
    const auto tokenizer = open_tokenizer(data_ + "/tokenizers/" + golden.spec, golden.lowercase);
    for (const char* name : {"adversarial", "bert_sample_text", "tinyshakespeare_first500",
                             "udhr_22langs_first12", "wikitext2_test_first500"}) {
      const Lines lines = text(name);
      const Lines expected =
          lines_of(data_ + "/goldens/" + name + "." + golden.name + ".ids", lines.size() + 1);
      ASSERT_GE(expected.size(), lines.size()) << golden.name << " " << name;
      for (std::size_t i = 0; i < lines.size(); ++i) {
        std::vector<std::int32_t> ids;
        tokenizer->encode(lines[i], ids);
        EXPECT_EQ(joined(ids), expected[i]) << golden.name << " " << name << " line " << i + 1;
      }
    }
  }
}

TEST_F(TokenizerGolden, WholeFilesHashToTheOriginalIds) {
  const std::tuple<const char*, std::size_t, const char*> texts[] = {
      {"/tinyshakespeare/input.txt", 338025,
       "25c01b32b32f41897a6359dd222ec114992dc30c357bcafbfe6c56672f76cd31"},
      {"/wikitext-2/test.txt", 295877,
       "33d3634d89dfb45a09164ac72a5e7939b90eeffce49f82cc738dc5dbc652cf3c"}};
  const auto tokenizer = open_tokenizer(data_ + "/tokenizers/gpt2");
  for (const auto& [path, num_tokens, sha256] : texts) {
    const std::string content = read_file(data_ + path);

    std::vector<std::int32_t> ids;
    tokenizer->encode(content, ids);

    EXPECT_EQ(ids.size(), num_tokens);
    const std::vector<std::uint16_t> words(ids.begin(), ids.end());
    Sha256 hash;
    hash.update(words.data(), 2 * words.size());
    EXPECT_EQ(hash.hex(), sha256) << path;
    EXPECT_EQ(tokenizer->decode(ids), content);
  }
}

TEST_F(TokenizerGolden, DirectoryOfItsFilesGivesTheSameTokenizer) {
  for (const GoldenTokenizer& golden : golden_tokenizers) {
    const auto tokenizer = open_tokenizer(data_ + "/tokenizers/" + golden.spec, golden.lowercase);
    const test::TemporaryDirectory directory;

    const auto again = test::reopened(*tokenizer, directory);

    EXPECT_EQ(again->kind(), tokenizer->kind());
    EXPECT_EQ(again->vocab_size(), tokenizer->vocab_size());
    for (const std::string& line : text("adversarial")) {
      std::vector<std::int32_t> ids, ids_again;
      tokenizer->encode(line, ids);
      again->encode(line, ids_again);
      EXPECT_EQ(ids, ids_again) << golden.name;
    }
  }
}

TEST_F(TokenizerGolden, HuggingFaceFileWithTheSameMergesGivesTheSameIds) {
  const auto original = open_tokenizer(data_ + "/tokenizers/gpt2");
  const auto json = open_tokenizer(data_ + "/tokenizers/hf-json/olmo_bytelevel_bpe_tokenizer.json");

  EXPECT_EQ(json->vocab_size(), 50257);
  EXPECT_EQ(json->specials().eod, 50256);
  for (const char* name : {"adversarial", "udhr_22langs_first12"}) {
    for (const std::string& line : text(name)) {
      std::vector<std::int32_t> ids, json_ids;
      original->encode(line, ids);
      json->encode(line, json_ids);
      EXPECT_EQ(ids, json_ids) << line;
    }
  }
}

}  // namespace
}  // namespace lockstep
