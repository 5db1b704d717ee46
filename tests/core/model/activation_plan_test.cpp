// The plan of what a stage keeps against what it does keep, byte for byte.
#include "core/model/activation_plan.hpp"

#include <gtest/gtest.h>

#include "tests/core/model/tiny.hpp"

namespace lockstep {
namespace {

using test::tiny_batch;
using test::tiny_bert;
using test::tiny_gpt;

constexpr index_t B = 3, T = 7;

// Two stages of one microbatch; each pass of each stage.
void expect_planned(const ModelConfig& config, Recompute recompute, DType precision) {
  const ParameterTable table(config);
  LocalGroup one;
  const Batch batch = tiny_batch(config, B, T, false);
  std::vector<LossTerm> terms = loss_terms(config);
  add_counts(terms, batch);
  Context context;
  context.batch = batch.view();
  context.terms = &terms;
  const auto ranges = cut_stages(plan_layers(config, T), 2);
  std::vector<ParameterStore> stores;
  std::vector<Stage> stages;
  std::vector<Stage::SavedHandle> saved;
  std::vector<ActivationBytes> plans;
  stores.reserve(ranges.size());
  for (const StageRange range : ranges) {
    stores.emplace_back(table, range, 0, 1, precision, Device{});
    test::randomize(stores.back());
    stages.emplace_back(config, range, stores.back(), StageSetup{one, one, recompute});
    saved.push_back(stages.back().make_saved());
    plans.push_back(activation_bytes(config, range,
                                     {.precision = precision, .recompute = recompute},
                                     {B * T, batch.target_ids.count(), B}));
  }

  Bundle bundle;
  for (std::size_t i = 0; i < stages.size(); ++i)
    bundle = stages[i].forward(batch, bundle, *saved[i], context);
  for (std::size_t i = 0; i < stages.size(); ++i)
    EXPECT_EQ(static_cast<index_t>(Stage::bytes_of(*saved[i])), plans[i].after_forward) << i;
  bundle = {};
  for (std::size_t i = stages.size(); i-- > 0;)
    bundle = stages[i].backward_input(batch, bundle, *saved[i], context);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    EXPECT_EQ(static_cast<index_t>(Stage::bytes_of(*saved[i])), plans[i].after_backward) << i;
    stages[i].backward_weight(batch, *saved[i], context);
    EXPECT_EQ(Stage::bytes_of(*saved[i]), 0u) << i;
  }
}

void expect_planned(const ModelConfig& config, Recompute recompute) {
  for (const DType precision : {DType::f64, DType::f32, DType::bf16})
    expect_planned(config, recompute, precision);
}

TEST(ActivationPlan, IsWhatAStageKeepsOfGpt) {
  for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full})
    expect_planned(tiny_gpt(), recompute);
}

TEST(ActivationPlan, IsWhatAStageKeepsOfBert) {
  for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full})
    expect_planned(tiny_bert(), recompute);
}

TEST(ActivationPlan, HoldsForOtherPlacesOfNormsAndNoDropout) {
  ModelConfig post = tiny_gpt();
  post.norm = NormPlace::post;
  post.dropout = post.attention_dropout = 0;
  expect_planned(post, Recompute::none);

  ModelConfig pre = tiny_bert();
  pre.norm = NormPlace::pre;
  pre.dropout = 0;
  expect_planned(pre, Recompute::none);

  ModelConfig both = tiny_gpt();  // a final norm, then both heads
  both.objective = Objective::mlm_nsp;
  both.resolve(8, 1);
  expect_planned(both, Recompute::none);
}

// Korthikanti et al. 2022: 34 s b h bytes in 16 bits, of which 2 are masks of dropout; the rest is
// 16 numbers. Their 5 a s^2 b are probabilities, which a streaming attention does not keep.
TEST(ActivationPlan, IsTheLiteraturesWithoutMasksAndProbabilities) {
  ModelConfig config;
  config.resolve(128, 1);
  const index_t N = 4 * 1024;

  const ActivationBytes block = activation_bytes(config, {1, 2}, {}, {N, N, 0});

  EXPECT_EQ(block.after_forward, 4 * N * (16 * config.width + 4 + config.heads));
}

}  // namespace
}  // namespace lockstep
