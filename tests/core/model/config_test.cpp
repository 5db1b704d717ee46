// Presets, refusals that name option, value and cure, and the cut of the plan.
#include "core/model/config.hpp"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "core/error.hpp"
#include "core/model/plan.hpp"
#include "core/model/presets.hpp"

namespace lockstep {
namespace {

template <typename Act>
std::string refusal(Act act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::refused);
    return error.what();
  }
  return "";
}

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  EXPECT_FALSE(text.empty());
  for (const std::string& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
}

template <typename Change>
std::string invalid(Change change) {
  ModelConfig config;
  change(config);
  return refusal([&] {
    config.resolve(128, 1);
    config.validate();
  });
}

TEST(ModelConfig, RefusesSizesThatDoNotFitAndSaysWhy) {
  expect_words(invalid([](ModelConfig& c) { c.heads = 7, c.width = 32; }),
               {"--width 32 must be a multiple of --heads 7"});
  expect_words(invalid([](ModelConfig& c) { c.heads = 0; }), {"--heads 0"});
  expect_words(invalid([](ModelConfig& c) { c.layers = -3; }), {"--layers -3"});
  expect_words(invalid([](ModelConfig& c) { c.vocab_size = std::numeric_limits<index_t>::max(); }),
               {"--vocab-size"});
  expect_words(invalid([](ModelConfig& c) { c.dropout = 1.5; }), {"--dropout 1.5", "below 1"});
  expect_words(invalid([](ModelConfig& c) {
                 c.attention_dropout = std::numeric_limits<double>::quiet_NaN();
               }),
               {"--attention-dropout"});
  expect_words(invalid([](ModelConfig& c) { c.norm_epsilon = 0; }), {"epsilon"});
  EXPECT_EQ(invalid([](ModelConfig&) {}), "");
}

TEST(ModelConfig, RefusesLayoutsThatDoNotFit) {
  ModelConfig config;
  config.layers = 1;
  config.heads = 3;
  config.width = 33;
  config.resolve(8, 2);

  expect_words(refusal([&] { config.validate_layout(2, 1); }), {"--tp 2", "--heads 3"});
  expect_words(refusal([&] { config.validate_layout(1, 2); }),
               {"--pp 2", "at least 2 --layers", "there is 1"});
  config.ffn_width = 31;
  expect_words(refusal([&] { config.validate_layout(3, 1); }), {"--tp 3", "--ffn-width 31"});
  expect_words(refusal([&] { config.validate_sequence_length(2048); }),
               {"--sequence-length 2048", "--max-positions 1024"});
  EXPECT_NO_THROW(config.validate_layout(1, 1));
}

TEST(ModelConfig, PadsTheVocabularyToBothMultiples) {
  ModelConfig config;
  config.resolve(128, 1);
  EXPECT_EQ(config.padded_vocab, 50304);
  EXPECT_EQ(config.head_size, 64);
  config.resolve(1, 1);
  EXPECT_EQ(config.padded_vocab, 50257);
  config.resolve(128, 3);
  EXPECT_EQ(config.padded_vocab % 384, 0);
  EXPECT_GE(config.padded_vocab, config.vocab_size);
}

TEST(Presets, AreValidAndCanBeFound) {
  for (const Preset& preset : presets()) {
    ModelConfig config = preset.config;
    config.resolve(128, 1);
    EXPECT_NO_THROW(config.validate()) << preset.name;
    EXPECT_NO_THROW(config.validate_sequence_length(preset.sequence_length)) << preset.name;
    EXPECT_EQ(config.ffn_width, 4 * config.width);
    EXPECT_EQ(&find_preset(preset.name), &preset);
  }
  EXPECT_EQ(presets().size(), 12u);
  expect_words(refusal([] { find_preset("gpt2-125m"); }), {"gpt2-125m", "gpt2-124m"});
}

TEST(Plan, CutsByCostAndGivesEveryStageABlock) {
  const ModelConfig config = find_preset("gpt2-124m").config;
  const auto layers = plan_layers(config, 1024);
  ASSERT_EQ(layers.size(), 14u);

  for (int stages = 1; stages <= 12; ++stages) {
    const auto ranges = cut_stages(layers, stages);

    ASSERT_EQ(ranges.size(), static_cast<std::size_t>(stages));
    EXPECT_EQ(ranges.back().last, 14);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      EXPECT_EQ(ranges[i].first, i == 0 ? 0 : ranges[i - 1].last);
      EXPECT_GE(std::min(ranges[i].last, index_t{13}) - std::max(ranges[i].first, index_t{1}), 1);
    }
  }
  // The head weighs five blocks: the last of two stages has fewer.
  const auto two = cut_stages(layers, 2);
  EXPECT_LT(two[1].last - two[1].first, two[0].last - two[0].first);
  expect_words(refusal([&] { cut_stages(layers, 13); }), {"13", "12"});
}

TEST(Plan, PrefersEarlyCutsAmongEquals) {
  const std::vector<LayerSpec> layers{{LayerSpec::Kind::front, 0, 0, 0},
                                      {LayerSpec::Kind::block, 0, 0, 1},
                                      {LayerSpec::Kind::block, 0, 1, 1},
                                      {LayerSpec::Kind::block, 0, 2, 1},
                                      {LayerSpec::Kind::head, 0, 0, 0}};

  EXPECT_EQ(cut_stages(layers, 2), (std::vector<StageRange>{{0, 2}, {2, 5}}));
  EXPECT_EQ(cut_stages(layers, 3), (std::vector<StageRange>{{0, 2}, {2, 3}, {3, 5}}));
}

}  // namespace
}  // namespace lockstep
