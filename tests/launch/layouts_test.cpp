// Every kind of layout against one rank, in fp64, where what is left of a difference is rounding,
// and in bf16: the losses and gradient norms of three steps and each parameter's gradient in the
// first.
#include "tests/launch/layouts.hpp"

#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "launch/memory.hpp"

namespace lockstep {
namespace {

using test::batches;
using test::bert;
using test::environment;
using test::expect_like_one_rank;
using test::gpt;
using test::Layout;
using test::T;
using test::trainer_config;

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

std::vector<Layout> reproducible_layouts_of(int ranks) {
  if (ranks == 2) {
    return {{"tp 2 sp fixed", {.tp = 2}, 2, "1f1b", true, false, Recompute::none, true},
            {"cp 2 fixed", {.cp = 2}, 1, "1f1b", false, false, Recompute::none, true},
            {"zb-v fixed", {.pp = 2}, 4, "zb-v", false, false, Recompute::none, true}};
  }
  if (ranks == 4) {
    return {{"dp 2 cp 2 fixed", {.dp = 2, .cp = 2}, 4, "1f1b", false, true, Recompute::full, true}};
  }
  return {};
}

// What a rank trains on in step 1.
StepBatch first_batch(const Trainer& trainer, const Layout& layout) {
  const Topology& topology = trainer.topology();
  const Degrees& degrees = trainer.config().degrees;
  const BatchPart part{topology.dp_rank(), degrees.dp, {topology.cp_rank(), degrees.cp}};
  return batches(trainer.config().model, layout)(1, part);
}

StepResult take_step(Trainer& trainer, const StepBatch& batch) {
  return trainer.compute_gradients(batch, 1, trainer.agree(batch, {}).terms);
}

// With W at once, a dW is computed while the sum of dX is under way.
TEST(Layouts, WeightsAtOnceOrApartAreTheSameBits) {
  for (const bool sequence_parallel : {false, true}) {
    const int tp = std::min(environment().size(), 4);
    Layout layout{"tp", {.dp = environment().size() / tp, .tp = tp}, 2};
    layout.sequence_parallel = sequence_parallel;
    Trainer at_once(environment(), trainer_config(gpt(), layout));
    layout.schedule = "zb-h1";
    Trainer apart(environment(), trainer_config(gpt(), layout));
    at_once.initialize();
    apart.initialize();
    const StepBatch batch = first_batch(at_once, layout);

    EXPECT_EQ(take_step(at_once, batch).gradient_norm, take_step(apart, batch).gradient_norm);

    const Tensor a = at_once.store().gradients(), b = apart.store().gradients();
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
  }
}

// One step; of every rank what its memory is for.
void expect_predicted_memory(const ModelConfig& model, const Layout& layout, DType precision) {
  const TrainerConfig config = trainer_config(model, layout, precision);
  Trainer trainer(environment(), config);
  trainer.initialize();
  const Topology& topology = trainer.topology();
  MemoryFacts facts;
  facts.microbatch_size = layout.microbatch_size();
  const StepBatch batch = first_batch(trainer, layout);
  index_t predicted_tokens = 0;
  for (const Batch& microbatch : batch.microbatches)
    predicted_tokens = std::max(predicted_tokens, microbatch.target_ids.count());
  facts.predicted_share = static_cast<double>(predicted_tokens) /
                          static_cast<double>(facts.microbatch_size * T / layout.degrees.cp);
  take_step(trainer, batch);

  const MemoryParts predicted =
      predict_memory(config, facts, topology.pp_rank(), topology.tp_rank());
  const MemoryParts measured = measure_memory(trainer, facts);

  EXPECT_EQ(measured.parameters, predicted.parameters) << layout.name;
  EXPECT_EQ(measured.gradients, predicted.gradients) << layout.name;
  EXPECT_LE(measured.optimizer, predicted.optimizer) << layout.name;
  // Where position 0 of a sample is not, next sentences are not predicted.
  const bool less = model.objective == Objective::mlm_nsp && topology.cp_rank() > 0;
  EXPECT_LE(measured.activations, 1.02 * predicted.activations) << layout.name;
  EXPECT_GE(measured.activations, (less ? 0.9 : 0.98) * predicted.activations) << layout.name;
}

TEST(Layouts, TakeTheMemoryPredicted) {
  for (const ModelConfig& model : {gpt(), bert()}) {
    for (const DType precision : {DType::f64, DType::bf16}) {
      for (const Layout& layout : layouts_of(environment().size()))
        expect_predicted_memory(model, layout, precision);
      for (const Layout& layout : reproducible_layouts_of(environment().size()))
        expect_predicted_memory(model, layout, precision);
    }
  }
}

TEST(Layouts, GptTrainsAsOnOneRank) {
  for (const Layout& layout : layouts_of(environment().size())) expect_like_one_rank(gpt(), layout);
}

// No difference at all.
TEST(Layouts, ReproducibleTrainingIsThatOfOneRank) {
  for (const Layout& layout : reproducible_layouts_of(environment().size())) {
    expect_like_one_rank(gpt(), layout);
    expect_like_one_rank(bert(), layout);
  }
}

// Operands are rounded from sums that differ in their last bits, to the same numbers but for a few.
TEST(Layouts, TrainInBf16AsOnOneRankWithinItsRounding) {
  for (const ModelConfig& model : {gpt(), bert()}) {
    for (const Layout& layout : layouts_of(environment().size()))
      expect_like_one_rank(model, layout, DType::bf16);
    for (const Layout& layout : reproducible_layouts_of(environment().size()))
      expect_like_one_rank(model, layout, DType::bf16);
  }
}

TEST(Layouts, BertTrainsAsOnOneRank) {
  for (const Layout& layout : layouts_of(environment().size()))
    expect_like_one_rank(bert(), layout);
}

}  // namespace
}  // namespace lockstep
