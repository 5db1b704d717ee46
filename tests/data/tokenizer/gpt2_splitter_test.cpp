#include "data/tokenizer/gpt2_splitter.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/data/tokenizer/tokenizer_support.hpp"

namespace lockstep {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces_of(const std::string& text) {
  const CharacterTable table;
  Pieces pieces;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = gpt2_piece_end(text, begin, table);
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

TEST(Gpt2Splitter, OneSpaceBelongsToTheWordBehindIt) {
  EXPECT_EQ(pieces_of("Hello, big world 42!"),
            (Pieces{"Hello", ",", " big", " world", " 42", "!"}));
}

TEST(Gpt2Splitter, ContractionsAreLowerCaseOnly) {
  EXPECT_EQ(pieces_of("it's we'll I'VE 'tis"),
            (Pieces{"it", "'s", " we", "'ll", " I", "'", "VE", " '", "tis"}));
}

TEST(Gpt2Splitter, ContractionNeedsNoWordBeforeIt) {
  EXPECT_EQ(pieces_of("'dog''s"), (Pieces{"'d", "og", "''", "s"}));
}

TEST(Gpt2Splitter, WhiteSpaceRunLeavesItsLastCharacterToTheWord) {
  EXPECT_EQ(pieces_of("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(pieces_of("a\n\nb"), (Pieces{"a", "\n", "\n", "b"}));
  EXPECT_EQ(pieces_of("a \t b"), (Pieces{"a", " \t", " b"}));
}

TEST(Gpt2Splitter, WhiteSpaceAtTheEndStaysWhole) {
  EXPECT_EQ(pieces_of("a \n "), (Pieces{"a", " \n "}));
}

TEST(Gpt2Splitter, NoBreakSpaceIsSpaceAndMongolianSeparatorIsNot) {
  EXPECT_EQ(pieces_of("a\u00A0b"), (Pieces{"a", "\u00A0", "b"}));
  EXPECT_EQ(pieces_of("a \u180Eb"), (Pieces{"a", " \u180E", "b"}));
}

TEST(Gpt2Splitter, LettersAndNumbersFollowUnicode) {
  EXPECT_EQ(pieces_of("\u4E2D\u6587\u00BD\u2167x\u0301"),
            (Pieces{"\u4E2D\u6587", "\u00BD\u2167", "x", "\u0301"}));
  // Kawi letter A came with Unicode 15.
  EXPECT_EQ(pieces_of("a\U00011F04"), (Pieces{"a\U00011F04"}));
}

TEST(Gpt2Splitter, MalformedBytesAreNeitherLettersNorSpaces) {
  EXPECT_EQ(pieces_of("a\xFF\xFE!b \x80"), (Pieces{"a", "\xFF\xFE!", "b", " \x80"}));
}

TEST(Gpt2Splitter, PiecesCoverEveryText) {
  for (const std::string& text : test::adversarial_texts()) {
    std::string joined;
    for (const std::string& piece : pieces_of(text)) {
      EXPECT_FALSE(piece.empty());
      joined += piece;
    }
    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace lockstep
