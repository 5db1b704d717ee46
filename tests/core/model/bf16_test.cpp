// Whole models whose matrix products read bf16: near fp32, and the same bits however they are run.
#include <cmath>

#include <gtest/gtest.h>

#include "core/optim/adamw.hpp"
#include "tests/core/model/tiny.hpp"

namespace lockstep {
namespace {

using test::oracle_loss_tolerance;
using test::oracle_tolerance;
using test::relative_error;
using test::tiny_batch;
using test::tiny_bert;
using test::tiny_gpt;
using test::TinyModel;

constexpr index_t T = 17;

// Sums long enough that roundings of single operands average out.
ModelConfig widened(ModelConfig config) {
  config.layers = 2;
  config.heads = 4;
  config.width = 48;
  config.head_size = 0;
  config.ffn_width = 96;
  config.vocab_size = 101;
  config.max_positions = T;
  config.resolve(8, 1);
  return config;
}

const std::vector<ModelConfig>& models() {
  static const std::vector<ModelConfig> models{widened(tiny_gpt()), widened(tiny_bert())};
  return models;
}

std::vector<Batch> batches(const ModelConfig& config) {
  return {tiny_batch(config, 3, T, true), tiny_batch(config, 2, T, true, 3)};
}

struct Course {
  std::vector<double> losses;
  Tensor gradients;  // of the first step
};

Course train(const ModelConfig& config,
             DType precision,
             int steps,
             Recompute recompute = Recompute::none,
             bool apart = false) {
  TinyModel model(config, 1, recompute, precision);
  ParameterStore& store = model.store();
  store.initialize(7);
  Tensor values = store.values();
  const index_t count = values.count();
  AdamW optimizer({0, count}, {{0, count, true}}, values.dtype(), Device{}, {});
  Course course;
  for (int step = 1; step <= steps; ++step) {
    store.gradients().fill_zero();
    course.losses.push_back(model.train(batches(config), apart) /
                            static_cast<double>(model.terms()[0].count));
    if (step == 1) course.gradients = store.gradients().clone();
    optimizer.step(values, store.gradients(), step, 1e-3,
                   1 / static_cast<double>(model.terms()[0].count));
    store.round_values();
  }
  return course;
}

TEST(Bf16Model, LossesAndGradientsAreThoseOfFp32WithinTheirRounding) {
  for (const ModelConfig& config : models()) {
    const Course wide = train(config, DType::f32, 10), rounded = train(config, DType::bf16, 10);

    EXPECT_NE(rounded.losses[0], wide.losses[0]);
    EXPECT_LE(relative_error(rounded.gradients, wide.gradients), oracle_tolerance(DType::bf16));
    const double bound = oracle_loss_tolerance(DType::bf16);
    for (std::size_t i = 0; i < wide.losses.size(); ++i)
      EXPECT_LE(std::abs(rounded.losses[i] / wide.losses[i] - 1), bound) << i;
  }
}

TEST(Bf16Model, BackwardApartRecomputedOrAtOnceIsTheSameBits) {
  for (const ModelConfig& config : models()) {
    const Course once = train(config, DType::bf16, 2);

    for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      const Course other = train(config, DType::bf16, 2, recompute, true);
      EXPECT_EQ(other.losses, once.losses);
      EXPECT_EQ(relative_error(other.gradients, once.gradients), 0);
    }
  }
}

// Rows enough that products read packed weights; a rate that moves them far.
TEST(Bf16Model, PackedWeightsFollowTheOptimizer) {
  for (const ModelConfig& config : models()) {
    std::vector<std::vector<double>> losses;
    for (const bool packed : {false, true}) {
      TinyModel model(config, 1, Recompute::none, DType::bf16);
      ParameterStore& store = model.store();
      if (packed) store.keep_packed();
      store.initialize(7);
      Tensor values = store.values();
      AdamW optimizer({0, values.count()}, {{0, values.count(), true}}, values.dtype(), Device{},
                      {});
      losses.emplace_back();
      for (int step = 1; step <= 6; ++step) {
        store.gradients().fill_zero();
        losses.back().push_back(model.train({tiny_batch(config, 12, T, false)}, false));
        optimizer.step(values, store.gradients(), step, 1e-2,
                       1 / static_cast<double>(model.terms()[0].count));
        store.round_values();
      }
    }
    EXPECT_LT(losses[0].back(), 0.9 * losses[0].front());
    for (std::size_t i = 0; i < losses[0].size(); ++i)
      EXPECT_NEAR(losses[1][i] / losses[0][i], 1, 2e-3) << i;
  }
}

TEST(Bf16Model, TwoStagesHaveTheLossOfOne) {
  for (const ModelConfig& config : models()) {
    TinyModel one(config, 1, Recompute::none, DType::bf16);
    TinyModel two(config, 2, Recompute::none, DType::bf16);

    EXPECT_EQ(two.train(batches(config)), one.train(batches(config)));
    const char* const name = "layers.0.ffn.input.weight";
    EXPECT_EQ(relative_error(two.gradient(name), one.gradient(name)), 0);
  }
}

TEST(Bf16Model, KeepsHalfOfWhatProductsRead) {
  const ModelConfig& config = models()[0];
  const ParameterTable table(config);
  const ParameterStore store(table, {0, config.layers + 2}, 0, 1, DType::bf16, Device{});

  const Parameter weight = store.get("layers.1.attention.output.weight");

  EXPECT_EQ(weight.value.dtype(), DType::f32);
  EXPECT_EQ(weight.gradient.dtype(), DType::f32);
  EXPECT_EQ(weight.operand().dtype(), DType::bf16);
  EXPECT_EQ(2 * store.rounded().bytes(), store.values().bytes());
}

}  // namespace
}  // namespace lockstep
