#include "data/tokenizer/wordpiece_tokenizer.hpp"

#include <gtest/gtest.h>

#include "tests/data/tokenizer/tokenizer_support.hpp"

namespace lockstep {
namespace {

using test::Ids;
using test::ids_of;
using test::refusal;
using test::TemporaryDirectory;
using Words = std::vector<std::string>;

Words words_of(const std::string& text, bool lowercase) {
  Words words;
  BertSplitter(lowercase).for_each_word(text,
                                        [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

TEST(BertSplitter, PunctuationIsAWordOfItsOwn) {
  EXPECT_EQ(words_of("don't (stop)...$5 \u00BFqu\u00E9?", false),
            (Words{"don", "'", "t", "(", "stop", ")", ".", ".", ".", "$", "5", "\u00BF", "qu\u00E9",
                   "?"}));
}

TEST(BertSplitter, ControlAndFormatCharactersVanishWithoutASplit) {
  EXPECT_EQ(words_of("soft\u00ADhyphen zero\u200Bwidth\u180E bo\uFEFFm n\u0085l", false),
            (Words{"softhyphen", "zerowidth", "bom", "nl"}));
  EXPECT_EQ(words_of(std::string("nu\0l re\xEF\xBF\xBDpl", 12), false), (Words{"nul", "repl"}));
  EXPECT_EQ(words_of("bro\xFFken \xE2\x82", false), (Words{"broken"}));
}

TEST(BertSplitter, EverySpaceAndLineSeparatorSplits) {
  EXPECT_EQ(words_of("a\u00A0b\u2003c\u2028d\u2029e\u3000f\tg\nh\ri", false),
            (Words{"a", "b", "c", "d", "e", "f", "g", "h", "i"}));
}

TEST(BertSplitter, IdeographsStandAloneHangulAndKanaDoNot) {
  EXPECT_EQ(words_of("x\u4E2D\u6587y \u30C6\u30AD \uD55C\uAD6D \U0002B820\U0002CEAF", false),
            (Words{"x", "\u4E2D", "\u6587", "y", "\u30C6\u30AD", "\uD55C\uAD6D", "\U0002B820",
                   "\U0002CEAF"}));
}

TEST(BertSplitter, LowerCaseComesBeforeAccentsAreStripped) {
  EXPECT_EQ(words_of("\u00C5NGSTR\u00D6M caf\u00E9 \u0130x e\u0301", true),
            (Words{"angstrom", "cafe", "ix", "e"}));
  EXPECT_EQ(words_of("\u0301", true), Words{});
  EXPECT_EQ(words_of("\uF900", true), (Words{"\u8C48"}));  // a compatibility ideograph decomposes
}

TEST(BertSplitter, SigmaAtTheEndOfAWordIsFinal) {
  EXPECT_EQ(words_of("\u03A3\u039F\u03A3 \u03A3", true), (Words{"\u03C3\u03BF\u03C2", "\u03C3"}));
}

TEST(BertSplitter, CasedTextKeepsCaseAndAccents) {
  EXPECT_EQ(words_of("\u00C5NG e\u0301", false), (Words{"\u00C5NG", "e\u0301"}));
}

const std::string small_vocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\n##a\naff\n,\n[\n]\na\n##"
    "aaaa\ncls\n\u00E9t\u00E9\n";
enum : std::int32_t {
  pad,
  unk,
  cls,
  sep,
  mask,
  un,
  inner_aff,
  inner_able,
  inner_a,
  aff,
  comma,
  open_bracket,
  close_bracket,
  a,
  inner_aaaa,
  word_cls
};

class WordPieceTest : public testing::Test {
 protected:
  std::unique_ptr<Tokenizer> open(const std::string& vocabulary,
                                  Lowercase lowercase = Lowercase::automatic) const {
    return open_tokenizer(directory_.write("vocab.txt", vocabulary), lowercase);
  }
  std::string opening_error(const std::string& vocabulary) const {
    return refusal([&] { open(vocabulary); });
  }

  TemporaryDirectory directory_;
};

TEST_F(WordPieceTest, LongestEntryFirst) {
  const auto tokenizer = open(small_vocabulary);

  EXPECT_EQ(ids_of(*tokenizer, "Unaffable, aff"), (Ids{un, inner_aff, inner_able, comma, aff}));
}

TEST_F(WordPieceTest, OneUncoveredCharacterMakesTheWholeWordUnknown) {
  const auto tokenizer = open(small_vocabulary);

  EXPECT_EQ(ids_of(*tokenizer, "unaffx un \u4E2D"), (Ids{unk, un, unk}));
}

TEST_F(WordPieceTest, WordOfTwoHundredCharactersIsTheLongest) {
  const auto tokenizer = open(small_vocabulary);

  // One a, 49 times aaaa, three times a: 200 characters.
  Ids expected(53, inner_aaaa);
  expected.front() = a;
  std::fill(expected.end() - 3, expected.end(), inner_a);
  EXPECT_EQ(ids_of(*tokenizer, std::string(200, 'a')), expected);
  EXPECT_EQ(ids_of(*tokenizer, std::string(201, 'a')), (Ids{unk}));
}

TEST_F(WordPieceTest, SpecialsInTheTextAreOrdinaryText) {
  const auto tokenizer = open(small_vocabulary);

  EXPECT_EQ(ids_of(*tokenizer, "[CLS]"), (Ids{open_bracket, word_cls, close_bracket}));
}

TEST_F(WordPieceTest, SpecialsAreFoundByName) {
  const auto tokenizer = open(small_vocabulary);

  const SpecialIds specials = tokenizer->specials();
  EXPECT_EQ(specials.pad, pad);
  EXPECT_EQ(specials.unknown, unk);
  EXPECT_EQ(specials.cls, cls);
  EXPECT_EQ(specials.sep, sep);
  EXPECT_EQ(specials.mask, mask);
  EXPECT_FALSE(specials.eod.has_value());
  EXPECT_EQ(tokenizer->random_ids().second, tokenizer->vocab_size());
}

TEST_F(WordPieceTest, DecodeGluesPiecesAndJoinsWords) {
  const auto tokenizer = open(small_vocabulary);

  EXPECT_EQ(tokenizer->decode({cls, un, inner_aff, inner_able, comma, aff, mask, sep, pad}),
            "unaffable , aff [MASK]");
  EXPECT_NE(refusal([&] { tokenizer->decode({99}); }).find("99"), std::string::npos);
}

TEST_F(WordPieceTest, LowercaseFollowsTheVocabularyUnlessSaid) {
  EXPECT_EQ(ids_of(*open("[UNK]\n[CLS]\nab\n"), "AB"), (Ids{2}));
  EXPECT_EQ(ids_of(*open("[UNK]\nAb\nab\n"), "AB"), (Ids{0}));
  EXPECT_EQ(ids_of(*open("[UNK]\nAb\nab\n", Lowercase::yes), "AB"), (Ids{2}));
  EXPECT_EQ(ids_of(*open("[UNK]\nab\n", Lowercase::no), "AB"), (Ids{0}));
}

TEST_F(WordPieceTest, FilesKeepTheChoiceOfCase) {
  for (const Lowercase lowercase : {Lowercase::yes, Lowercase::no}) {
    const auto tokenizer = open("[UNK]\nAB\nab\n", lowercase);
    const TemporaryDirectory copy;

    const auto again = test::reopened(*tokenizer, copy);

    EXPECT_EQ(ids_of(*again, "AB ab"), ids_of(*tokenizer, "AB ab"));
    EXPECT_EQ(ids_of(*again, "AB"), (Ids{lowercase == Lowercase::yes ? 2 : 1}));
  }
}

TEST_F(WordPieceTest, WindowsLineEndsAreNoPartOfATokenAndTheLastLineMayBeOpen) {
  EXPECT_EQ(ids_of(*open("[UNK]\r\nab\r\ncd"), "ab cd"), (Ids{1, 2}));
}

TEST_F(WordPieceTest, DamagedVocabularyIsRefusedByFileAndLine) {
  EXPECT_NE(opening_error("[UNK]\na\n\nb\n").find("vocab.txt: line 3 is empty"), std::string::npos);
  EXPECT_NE(opening_error("[UNK]\na\nb\na\n").find("vocab.txt: lines 2 and 4"), std::string::npos);
  EXPECT_NE(opening_error("[UNK]\na\xFF\n").find("vocab.txt: line 2"), std::string::npos);
  EXPECT_NE(opening_error("a\nb\n").find("vocab.txt: no [UNK]"), std::string::npos);
  EXPECT_NE(opening_error("").find("vocab.txt"), std::string::npos);
}

TEST_F(WordPieceTest, DamagedConfigurationIsRefusedByName) {
  for (const char* config : {"{", "[]", "{\"do_lower_case\": \"yes\"}"}) {
    directory_.write("tokenizer_config.json", config);
    EXPECT_NE(opening_error("[UNK]\n").find("tokenizer_config.json"), std::string::npos) << config;
  }
}

}  // namespace
}  // namespace lockstep
