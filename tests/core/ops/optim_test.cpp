#include <gtest/gtest.h>

#include "core/ops/adamw.hpp"
#include "core/optim/adamw.hpp"
#include "core/optim/clip.hpp"
#include "core/optim/learning_rate.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::tolerance;
using test::value_at;

// From m = v = 0 the first step is rate sign(g), for any beta, when epsilon is 0.
TEST(AdamWOp, FirstStepIsTheSignOfTheGradientTimesTheRate) {
  Tensor value = Tensor::from<double>({1, 1}, {2}), m = Tensor::zeros({2}, DType::f64),
         v = m.clone();

  adamw(value, m, v, Tensor::from<double>({4, -0.5}, {2}),
        {.rate = 0.25, .epsilon = 0, .decay = 0.5});

  EXPECT_NEAR(value_at(value, 0), 0.875 - 0.25, tolerance(DType::f64, 1));
  EXPECT_NEAR(value_at(value, 1), 0.875 + 0.25, tolerance(DType::f64, 1));
}

TEST(AdamWOp, FollowsTheFormulaInBothTypes) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const index_t n = 40000;  // several pieces
    Tensor value = random_tensor({n}, dtype, 1), m = random_tensor({n}, dtype, 2),
           v = random_tensor({n}, dtype, 3);
    const Tensor gradient = random_tensor({n}, dtype, 4);
    Tensor expected = value.clone();
    const AdamWStep step{.rate = 0.01, .decay = 0.1, .scale = 0.5, .t = 3};
    for (index_t i = 0; i < n; ++i) {
      test::set_value(v, i, std::abs(value_at(v, i)));
      const double g = 0.5 * value_at(gradient, i);
      const double mean = (0.9 * value_at(m, i) + 0.1 * g) / (1 - std::pow(0.9, 3));
      const double square = (0.999 * value_at(v, i) + 0.001 * g * g) / (1 - std::pow(0.999, 3));
      test::set_value(
          expected, i,
          value_at(value, i) * (1 - 0.01 * 0.1) - 0.01 * mean / (std::sqrt(square) + step.epsilon));
    }

    adamw(value, m, v, gradient, step);

    EXPECT_LE(relative_error(value, expected), tolerance(dtype, 1));
  }
}

TEST(AdamW, SpansOfTwoRanksTogetherAreTheWhole) {
  const std::vector<OptimizerView> views = {
      {0, 10, true}, {10, 3, false}, {16, 9, true}};  // 13 to 15 are padding
  const AdamWConfig config;
  const Tensor gradients = random_tensor({25}, DType::f32, 2),
               start = random_tensor({25}, DType::f32, 1);
  Tensor whole = start.clone(), cut = start.clone();
  AdamW all({0, 25}, views, DType::f32, {}, config);
  AdamW first(span_of(25, 0, 2), views, DType::f32, {}, config),
      second(span_of(25, 1, 2), views, DType::f32, {}, config);

  for (index_t t = 1; t <= 3; ++t) {
    all.step(whole, gradients, t, 0.01, 0.5);
    first.step(cut, gradients, t, 0.01, 0.5);
    second.step(cut, gradients, t, 0.01, 0.5);
  }

  EXPECT_TRUE(same_bits(cut, whole));
  EXPECT_TRUE(same_bits(whole.range(13, 3), start.range(13, 3)));
  EXPECT_TRUE(same_bits(first.m(), all.m().range(0, 12)));
  EXPECT_TRUE(same_bits(second.v(), all.v().range(12, 13)));
}

TEST(AdamW, DecaysOnlyWhereAsked) {
  Tensor values = Tensor::from<double>({1, 1}, {2});
  AdamW optimizer({0, 2}, {{0, 1, true}, {1, 1, false}}, DType::f64, {}, {.weight_decay = 0.5});

  optimizer.step(values, Tensor::zeros({2}, DType::f64), 1, 0.5, 1.0);

  EXPECT_TRUE(same_bits(values, Tensor::from<double>({0.75, 1}, {2})));
}

TEST(LearningRate, WarmsUpThenDecaysToTheMinimum) {
  LearningRate rate{
      .peak = 1, .minimum = 0.5, .warmup_steps = 4, .decay_steps = 12, .decay = Decay::linear};

  EXPECT_EQ(rate.at(1), 0.25);
  EXPECT_EQ(rate.at(4), 1);
  EXPECT_EQ(rate.at(8), 0.75);
  EXPECT_EQ(rate.at(12), 0.5);
  EXPECT_EQ(rate.at(1000), 0.5);
  rate.decay = Decay::cosine;
  EXPECT_NEAR(rate.at(8), 0.75, tolerance(DType::f64, 1));
  EXPECT_NEAR(rate.at(6), 0.5 + 0.25 * (1 + std::sqrt(0.5)), tolerance(DType::f64, 1));
  EXPECT_EQ(rate.at(12), 0.5);
  rate.decay = Decay::constant;
  EXPECT_EQ(rate.at(1000), 1);
}

TEST(LearningRate, NeedsNoWarmupAndNoDecay) {
  const LearningRate rate{.peak = 2, .minimum = 1, .decay = Decay::linear};

  EXPECT_EQ(rate.at(1), 1);
}

TEST(Clip, ScalesDownToTheNormAndNeverUp) {
  EXPECT_EQ(clip_factor(0.5, 1.0), 1);
  EXPECT_EQ(clip_factor(2.0, 1.0), 1 / (2.0 + 1e-6));
  EXPECT_EQ(clip_factor(1e30, 0.0), 1);
}

}  // namespace
}  // namespace lockstep
