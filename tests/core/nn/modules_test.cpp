// Linear, LayerNorm, Mlp, Attention, Embedding: values by hand, gradients against differences.
#include <cmath>

#include <gtest/gtest.h>

#include "core/nn/attention.hpp"
#include "core/nn/embedding.hpp"
#include "core/nn/layer_norm.hpp"
#include "core/nn/mlp.hpp"
#include "tests/core/nn/fixture.hpp"

namespace lockstep {
namespace {

using test::expect_equal;
using test::expect_small;
using test::make_context;
using test::module_errors;
using test::random_parameter;
using test::random_tensor;

TEST(Linear, AddsTheBiasToEachRow) {
  LocalGroup tp;
  const Parameter weight{Tensor::from<double>({1, 2, 3, 4, 5, 6}, {3, 2}), {}};
  const Parameter bias{Tensor::from<double>({10, 20, 30}, {3}), {}};
  const Linear linear(weight, bias, Split::input, tp);

  Linear::Saved saved;
  const Tensor y = linear.forward(Tensor::from<double>({1, 0, 0, -1}, {2, 2}), saved, Context{});

  expect_equal(y, Tensor::from<double>({11, 23, 35, 8, 16, 24}, {2, 3}));
}

TEST(Linear, GradientsAgreeWithDifferencesForEverySplit) {
  LocalGroup tp;
  for (const Split split : {Split::none, Split::output, Split::input}) {
    for (const bool with_bias : {true, false}) {
      const Parameter weight = random_parameter({5, 7}, 1);
      const Parameter bias = with_bias ? random_parameter({5}, 2) : Parameter{};
      std::vector<test::NamedParameter> parameters{{"weight", weight}, {"bias", bias}};
      if (!with_bias) parameters.pop_back();

      expect_small(module_errors(Linear(weight, bias, split, tp),
                                 random_tensor({6, 7}, DType::f64, 3), parameters,
                                 make_context(2, 3)));
    }
  }
}

TEST(Linear, BackwardWeightAddsToTheGradient) {
  LocalGroup tp;
  const Parameter weight = random_parameter({2, 3}, 1);
  const Linear linear(weight, {}, Split::none, tp);
  const Tensor x = random_tensor({4, 3}, DType::f64, 2), dy = random_tensor({4, 2}, DType::f64, 3);
  const auto run = [&] {
    Linear::Saved saved;
    linear.forward(x, saved, Context{});
    linear.backward_input(dy, saved, Context{});
    linear.backward_weight(saved, Context{});
  };

  run();
  const Tensor once = weight.gradient.clone();
  run();

  for (index_t i = 0; i < once.count(); ++i) {
    EXPECT_NEAR(test::value_at(weight.gradient, i), 2 * test::value_at(once, i),
                test::tolerance(DType::f64, 8));
  }
}

TEST(LayerNorm, GradientsAgreeWithDifferencesWithAndWithoutBias) {
  for (const bool with_bias : {true, false}) {
    const Parameter weight = random_parameter({6}, 1);
    const Parameter bias = with_bias ? random_parameter({6}, 2) : Parameter{};
    std::vector<test::NamedParameter> parameters{{"weight", weight}, {"bias", bias}};
    if (!with_bias) parameters.pop_back();

    expect_small(module_errors(LayerNorm(weight, bias, 1e-5), random_tensor({8, 6}, DType::f64, 3),
                               parameters, make_context(2, 4)));
  }
}

TEST(Mlp, GradientsAgreeWithDifferencesForEveryActivation) {
  LocalGroup tp;
  for (const Activation activation : {Activation::gelu, Activation::gelu_tanh, Activation::relu}) {
    const Parameter w1 = random_parameter({9, 5}, 1), b1 = random_parameter({9}, 2);
    const Parameter w2 = random_parameter({5, 9}, 3), b2 = random_parameter({5}, 4);
    const Mlp mlp(Linear(w1, b1, Split::output, tp), activation, Linear(w2, b2, Split::input, tp));

    expect_small(module_errors(mlp, random_tensor({6, 5}, DType::f64, 5),
                               {{"w1", w1}, {"b1", b1}, {"w2", w2}, {"b2", b2}},
                               make_context(2, 3)));
  }
}

TEST(Mlp, GradientsAgreeWithDifferencesWithGeluInProducts) {
  LocalGroup tp;
  for (const bool with_bias : {true, false}) {
    const Parameter w1 = random_parameter({9, 5}, 1), w2 = random_parameter({5, 9}, 3);
    const Parameter b1 = with_bias ? random_parameter({9}, 2) : Parameter{};
    const Mlp mlp(Linear(w1, b1, Split::output, tp), Activation::gelu_tanh,
                  Linear(w2, Parameter{}, Split::input, tp), true);
    std::vector<test::NamedParameter> parameters{{"w1", w1}, {"w2", w2}};
    if (with_bias) parameters.push_back({"b1", b1});

    expect_small(
        module_errors(mlp, random_tensor({6, 5}, DType::f64, 5), parameters, make_context(2, 3)));
  }
}

struct AttentionParts {
  Parameter qkv = random_parameter({3 * 8, 10}, 1), qkv_bias = random_parameter({3 * 8}, 2);
  Parameter output = random_parameter({10, 8}, 3), output_bias = random_parameter({10}, 4);
  LocalGroup tp;

  Attention attention(AttentionConfig config) {
    return Attention(Linear(qkv, qkv_bias, Split::output, tp),
                     Linear(output, output_bias, Split::input, tp), config, tp);
  }
};

TEST(Attention, GradientsAgreeWithDifferencesWithMasksPaddingAndDropout) {
  for (const Mask mask : {Mask::full, Mask::causal}) {
    for (const double dropout : {0.0, 0.3}) {
      AttentionParts parts;
      const Attention attention = parts.attention({2, 4, 0, mask, dropout});

      expect_small(module_errors(attention, random_tensor({3 * 5, 10}, DType::f64, 5),
                                 {{"qkv", parts.qkv},
                                  {"qkv_bias", parts.qkv_bias},
                                  {"output", parts.output},
                                  {"output_bias", parts.output_bias}},
                                 make_context(3, 5, {5, 2, 4})));
    }
  }
}

TEST(Attention, DropoutActsInTrainingOnly) {
  AttentionParts parts;
  const Tensor x = random_tensor({2 * 5, 10}, DType::f64, 5);
  Context context = make_context(2, 5);
  const auto forward = [&](double dropout) {
    Attention::Saved saved;
    return parts.attention({2, 4, 0, Mask::full, dropout}).forward(x, saved, context);
  };

  EXPECT_GT(test::relative_error(forward(0.5), forward(0.0)), 0.01);
  context.training = false;
  expect_equal(forward(0.5), forward(0.0));
}

TEST(Attention, CausalOutputDoesNotSeeLaterTokens) {
  AttentionParts parts;
  const Attention attention = parts.attention({2, 4, 0, Mask::causal, 0});
  Tensor x = random_tensor({5, 10}, DType::f64, 5);
  const Context context = make_context(1, 5);
  Attention::Saved saved;
  const Tensor before = attention.forward(x, saved, context);

  for (index_t c = 0; c < 10; ++c) test::set_value(x, 3 * 10 + c, 9.0);
  const Tensor after = attention.forward(x, saved, context);

  expect_equal(after.range(0, 3), before.range(0, 3));
  EXPECT_GT(test::relative_error(after.range(3, 2), before.range(3, 2)), 0.01);
}

TEST(Embedding, SinusoidalPositionsAreSinAndCosInTurn) {
  const Tensor table = sinusoidal_positions(3, 5, DType::f64);

  EXPECT_EQ(test::value_at(table, 0), 0.0);
  EXPECT_EQ(test::value_at(table, 1), 1.0);
  const double rounding = test::tolerance(DType::f64, 1);
  EXPECT_NEAR(test::value_at(table, 2 * 5 + 0), std::sin(2.0), rounding);
  EXPECT_NEAR(test::value_at(table, 2 * 5 + 3), std::cos(2.0 / std::pow(10000.0, 2.0 / 5)),
              rounding);
  EXPECT_NEAR(test::value_at(table, 2 * 5 + 4), std::sin(2.0 / std::pow(10000.0, 4.0 / 5)),
              rounding);
}

TEST(Embedding, SumsTokenPositionAndSegment) {
  LocalGroup tp;
  const Parameter token{Tensor::from<double>({1, 2, 3, 4, 5, 6}, {3, 2}),
                        Tensor::zeros({3, 2}, DType::f64)};
  const Parameter position{Tensor::from<double>({10, 20, 30, 40}, {2, 2}),
                           Tensor::zeros({2, 2}, DType::f64)};
  const Parameter segment{Tensor::from<double>({100, 200, 300, 400}, {2, 2}),
                          Tensor::zeros({2, 2}, DType::f64)};
  const Embedding embedding({token, 0, position, segment}, tp);
  const Tensor ids = Tensor::from<std::int32_t>({2, 0, 1, 2}, {4});
  const Tensor segments = Tensor::from<std::int32_t>({0, 1, 0, 0}, {4});
  const Context context = make_context(2, 2);

  Embedding::Saved saved;
  const Tensor x = embedding.forward(ids, segments, saved, context);
  embedding.backward_input(Tensor::from<double>({1, 2, 3, 4, 5, 6, 7, 8}, {4, 2}), saved);
  embedding.backward_weight(saved, context);

  expect_equal(x, Tensor::from<double>({115, 226, 331, 442, 113, 224, 135, 246}, {4, 2}), "x");
  expect_equal(token.gradient, Tensor::from<double>({3, 4, 5, 6, 8, 10}, {3, 2}), "token");
  expect_equal(position.gradient, Tensor::from<double>({6, 8, 10, 12}, {2, 2}), "position");
  expect_equal(segment.gradient, Tensor::from<double>({13, 16, 3, 4}, {2, 2}), "segment");
}

}  // namespace
}  // namespace lockstep
