#include "data/sentences.hpp"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace lockstep {
namespace {

std::vector<std::string> pieces(const std::string& text) {
  const std::vector<std::size_t> starts = sentence_starts(text);
  std::vector<std::string> found;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::size_t end = i + 1 < starts.size() ? starts[i + 1] : text.size();
    found.push_back(text.substr(starts[i], end - starts[i]));
  }
  return found;
}

using Pieces = std::vector<std::string>;

TEST(Sentences, EndAtPunctuationBeforeACapital) {
  EXPECT_EQ(pieces("It is. Is it? \"Yes!\" (So.) 3 more"),
            (Pieces{"It is.", " Is it?", " \"Yes!\"", " (So.)", " 3 more"}));
}

TEST(Sentences, GoOnAfterAbbreviationsInitialsAndLowerCase) {
  EXPECT_EQ(pieces("Mr. Smith met J. S. Bach, e.g. Johann. etc. He left."),
            (Pieces{"Mr. Smith met J. S. Bach, e.g. Johann. etc. He left."}));
  EXPECT_EQ(pieces("Version 3.5 is out. it is"), (Pieces{"Version 3.5 is out. it is"}));
}

TEST(Sentences, EndAtLineEnds) {
  EXPECT_EQ(pieces("one\ntwo\r\n\r\n three \n"), (Pieces{"one", "\ntwo", "\r\n\r\n three \n"}));
  EXPECT_EQ(pieces("\n\n one"), (Pieces{"\n\n one"}));
}

TEST(Sentences, EndAtCjkFullStopsWithoutSpace) {
  EXPECT_EQ(pieces("\u4e00\u3002\u300d\u4e8c\uff01\u4e09"),
            (Pieces{"\u4e00\u3002\u300d", "\u4e8c\uff01", "\u4e09"}));
}

TEST(Sentences, OfNothingOrBlanks) {
  EXPECT_TRUE(pieces("").empty());
  EXPECT_EQ(pieces(" \n "), (Pieces{" \n "}));
  EXPECT_EQ(pieces("..."), (Pieces{"..."}));
}

TEST(Sentences, OfAnyBytesJoinToTheText) {
  std::mt19937 draw(1);
  const std::string alphabet = "aA.!? \n\"'(\xe3\x80\x82\xff\xc3";
  for (int trial = 0; trial < 2000; ++trial) {
    std::string text, joined;
    for (unsigned i = draw() % 30; i > 0; --i) text += alphabet[draw() % alphabet.size()];

    for (const std::string& piece : pieces(text)) {
      EXPECT_FALSE(piece.empty());
      joined += piece;
    }

    EXPECT_EQ(joined, text);
  }
}

}  // namespace
}  // namespace lockstep
