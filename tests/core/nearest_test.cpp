#include "core/nearest.hpp"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

const std::vector<std::string> options = {"--steps",           "--seed", "--schedule",
                                          "--sequence-length", "--tp",   "--pp"};

TEST(Nearest, FindsTheNameWithTheFewestEdits) {
  EXPECT_EQ(nearest("--step", options), "--steps");
  EXPECT_EQ(nearest("--scedule", options), "--schedule");
  EXPECT_EQ(nearest("--sequence-lenght", options), "--sequence-length");
  EXPECT_EQ(nearest("--seeed", options), "--seed");
}

TEST(Nearest, IgnoresCase) {
  EXPECT_EQ(nearest("GPT2-Small", {"bert-small", "gpt2-small"}), "gpt2-small");
}

TEST(Nearest, CountsASwapOfNeighboursAsOneEdit) {
  EXPECT_EQ(nearest("ba", {"c", "ab"}), "ab");  // one swap against a deletion and a replacement
  EXPECT_EQ(nearest("ba", {"bcd", "ab"}), "ab");
}

TEST(Nearest, PrefersTheFirstOfEquals) {
  EXPECT_EQ(nearest("--xp", options), "--tp");
  EXPECT_EQ(nearest("--xp", {"--pp", "--tp"}), "--pp");
}

TEST(Nearest, AnswersForEmptyAndForHugeNames) {
  EXPECT_EQ(nearest("anything", {}), "");
  EXPECT_EQ(nearest("", {"long", "a"}), "a");
  EXPECT_EQ(nearest(std::string(10'000'000, 'g'), {"b", "g"}), "g");
}

}  // namespace
}  // namespace lockstep
