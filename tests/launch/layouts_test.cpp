// Every kind of layout against one rank, in fp64, where what is left of a difference is rounding:
// the losses and gradient norms of three steps and each parameter's gradient in the first.
#include <gtest/gtest.h>

#include "data/cut_batch.hpp"
#include "launch/compare_layouts.hpp"
#include "parallel/pipeline/schedules.hpp"
#include "tests/core/model/tiny.hpp"
#include "tests/support/mpi.hpp"

namespace lockstep {
namespace {

using test::environment;

constexpr index_t T = 16, samples = 16;
constexpr std::int64_t steps = 3;
// numerics: a difference above 1e-9 in fp64 is a wrong sum, not rounding.
constexpr double bound = 1e-9;

ModelConfig gpt() {
  ModelConfig config = test::tiny_gpt();
  config.layers = 8;
  config.heads = 4;
  config.width = 16;
  config.ffn_width = 24;
  config.head_size = 0;
  config.max_positions = T;
  return config;
}

ModelConfig bert() {
  ModelConfig config = test::tiny_bert();
  const ModelConfig sizes = gpt();
  config.layers = sizes.layers;
  config.heads = sizes.heads;
  config.width = sizes.width;
  config.ffn_width = sizes.ffn_width;
  config.head_size = 0;
  config.max_positions = T;
  return config;
}

struct Layout {
  const char* name;
  Degrees degrees;
  int microbatches = 1;
  const char* schedule = "1f1b";
  bool sequence_parallel = false;
  bool zero = false;
  Recompute recompute = Recompute::none;
};

TrainerConfig trainer_config(ModelConfig model, const Layout& layout) {
  TrainerConfig config;
  config.model = model;
  config.model.resolve(8, layout.degrees.tp);
  config.degrees = layout.degrees;
  config.dtype = DType::f64;
  config.schedule = make_schedule(layout.schedule, layout.degrees.pp, layout.microbatches);
  config.sequence_length = T;
  config.sequence_parallel = layout.sequence_parallel;
  config.zero = layout.zero;
  config.recompute = layout.recompute;
  config.clip_norm = 1;
  config.seed = 3;
  return config;
}

// The step's samples in microbatches of B, as the part of a rank.
MakeBatch batches(const ModelConfig& model, index_t B) {
  return [model, B](std::int64_t step, const BatchPart& part) {
    const index_t own = samples / part.dp_degree;
    StepBatch batch;
    for (index_t done = 0; done < own; done += B) {
      const index_t first = (step - 1) * samples + part.dp_rank * own + done;
      const bool padded = model.objective != Objective::causal;
      batch.microbatches.push_back(
          cut_batch(test::tiny_batch(model, B, T, padded, first), part.cut));
    }
    return batch;
  };
}

void expect_like_one_rank(const ModelConfig& model, const Layout& layout) {
  const TrainerConfig config = trainer_config(model, layout);
  const index_t B = samples / layout.degrees.dp / layout.microbatches;

  const LayoutComparison comparison = compare_with_one_rank(
      environment(), config, batches(config.model, B), steps, [](std::int64_t) { return 1e-2; });

  EXPECT_LE(comparison.worst_loss(), bound) << layout.name;
  EXPECT_LE(comparison.worst_norm(), bound) << layout.name;
  for (const ParameterDifference& gradient : comparison.gradients)
    EXPECT_LE(gradient.relative, bound) << layout.name << ", " << gradient.name;
}

std::vector<Layout> layouts_of(int ranks) {
  if (ranks == 2) {
    return {{"tp 2 sp", {.tp = 2}, 2, "1f1b", true},
            {"tp 2 sp full", {.tp = 2}, 1, "1f1b", true, false, Recompute::full},
            {"cp 2", {.cp = 2}, 2},
            {"cp 2 zero selective", {.cp = 2}, 1, "1f1b", false, true, Recompute::selective},
            {"interleaved", {.pp = 2}, 4, "interleaved"},
            {"zb-v", {.pp = 2}, 4, "zb-v", false, false, Recompute::selective}};
  }
  if (ranks == 4) {
    return {{"cp 4", {.cp = 4}, 2},
            {"cp 2 tp 2 sp", {.cp = 2, .tp = 2}, 2, "1f1b", true, true},
            {"pp 2 tp 2 sp zb-v", {.pp = 2, .tp = 2}, 4, "zb-v", true},
            {"dp 2 cp 2 zero", {.dp = 2, .cp = 2}, 2, "1f1b", false, true, Recompute::full},
            {"pp 4 interleaved", {.pp = 4}, 4, "interleaved"},
            {"dp 2 pp 2 zb-h1", {.dp = 2, .pp = 2}, 4, "zb-h1", false, true}};
  }
  return {{"pp 2 cp 2 tp 2 sp zb-v", {.pp = 2, .cp = 2, .tp = 2}, 4, "zb-v", true, true},
          {"dp 2 cp 2 tp 2 sp", {.dp = 2, .cp = 2, .tp = 2}, 2, "1f1b", true, true}};
}

TEST(Layouts, GptTrainsAsOnOneRank) {
  for (const Layout& layout : layouts_of(environment().size())) expect_like_one_rank(gpt(), layout);
}

TEST(Layouts, BertTrainsAsOnOneRank) {
  for (const Layout& layout : layouts_of(environment().size()))
    expect_like_one_rank(bert(), layout);
}

}  // namespace
}  // namespace lockstep
