// The vocabulary loss: values by hand, gradients, chunks, padded columns, uncounted rows, accuracy.
#include "core/nn/losses.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/core/nn/fixture.hpp"

namespace lockstep {
namespace {

using test::expect_equal;
using test::random_parameter;
using test::random_tensor;

constexpr index_t C = 4, V = 7, V_padded = 9, n = 5;

struct LossParts {
  LocalGroup tp;
  Parameter weight = random_parameter({V_padded, C}, 1), bias = random_parameter({V_padded}, 2);
  Tensor x = random_tensor({n, C}, DType::f64, 3);
  Tensor targets = Tensor::from<std::int32_t>({6, 0, -1, 3, 3}, {n});
  std::vector<LossTerm> terms{{"lm", 1, {}, 8, 0, {}}, {"other", 0.5, {}, 4, 0, {}}};
  Context context = test::make_context(1, n);

  LossParts() { context.terms = &terms; }
  VocabularyLoss loss(index_t chunk_rows, std::size_t term = 1) {
    return VocabularyLoss(weight, bias, {0, V}, term, tp, chunk_rows);
  }
};

// The term's part of the total times count_0: what gradients are the derivative of.
double scaled_loss(const VocabularyLoss& loss, LossParts& parts) {
  VocabularyLoss::Saved dropped;
  parts.terms[1].sum = {};
  loss.forward(parts.x, parts.targets, dropped, parts.context);
  return 0.5 * parts.terms[1].sum.value() * 8 / 4;
}

TEST(VocabularyLoss, OfEqualLogitsIsLogV) {
  LossParts parts;
  parts.weight.value.fill_zero();
  parts.bias.value.fill_zero();

  scaled_loss(parts.loss(n), parts);

  EXPECT_NEAR(parts.terms[1].sum.value(), 4 * std::log(7.0), test::tolerance(DType::f64, n * V));
}

TEST(VocabularyLoss, GradientsAgreeWithDifferencesInOneAndInManyChunks) {
  for (const index_t chunk_rows : {n, index_t{2}, index_t{1}}) {
    LossParts parts;
    const VocabularyLoss loss = parts.loss(chunk_rows);
    VocabularyLoss::Saved saved;
    loss.forward(parts.x, parts.targets, saved, parts.context);
    EXPECT_EQ(saved.dlogits.defined(), chunk_rows == n);
    const Tensor dx = loss.backward_input(saved, parts.context);
    loss.backward_weight(saved, parts.context);

    test::expect_small(test::gradient_errors([&] { return scaled_loss(loss, parts); },
                                             {{"x", parts.x, dx},
                                              {"weight", parts.weight.value, parts.weight.gradient},
                                              {"bias", parts.bias.value, parts.bias.gradient}}));
  }
}

TEST(VocabularyLoss, PaddedColumnsTakeNoPart) {
  LossParts parts;
  const VocabularyLoss loss = parts.loss(n);
  const double before = scaled_loss(loss, parts);

  for (index_t row = V; row < V_padded; ++row) {
    for (index_t c = 0; c < C; ++c) test::set_value(parts.weight.value, row * C + c, 1e3);
  }
  VocabularyLoss::Saved saved;
  EXPECT_EQ(scaled_loss(loss, parts), before);
  loss.forward(parts.x, parts.targets, saved, parts.context);
  loss.backward_input(saved, parts.context);
  loss.backward_weight(saved, parts.context);

  expect_equal(parts.weight.gradient.range(V, V_padded - V),
               Tensor::zeros({V_padded - V, C}, DType::f64));
  EXPECT_EQ(loss.logits(parts.x, {}).shape(), (Shape{n, V}));
}

TEST(VocabularyLoss, WithoutRowsAddsNothing) {
  LossParts parts;
  const VocabularyLoss loss = parts.loss(n);
  VocabularyLoss::Saved saved;

  loss.forward(Tensor::empty({0, C}, DType::f64), Tensor::empty({0}, DType::i32), saved,
               parts.context);
  const Tensor dx = loss.backward_input(saved, parts.context);
  loss.backward_weight(saved, parts.context);

  EXPECT_EQ(parts.terms[1].sum.value(), 0);
  EXPECT_EQ(dx.count(), 0);
  expect_equal(parts.weight.gradient, Tensor::zeros({V_padded, C}, DType::f64));
}

TEST(VocabularyLoss, RecomputingAddsNoTerm) {
  LossParts parts;
  parts.context.recomputing = true;

  EXPECT_EQ(scaled_loss(parts.loss(n), parts), 0);
}

TEST(VocabularyLoss, CountsCorrectRowsInEvaluationOnly) {
  LossParts parts;
  const VocabularyLoss loss = parts.loss(2);
  const Tensor logits = loss.logits(parts.x, {});
  std::int64_t correct = 0;
  for (index_t i = 0; i < n; ++i) {
    index_t best = 0;
    for (index_t v = 1; v < V; ++v) {
      if (test::value_at(logits, i * V + v) > test::value_at(logits, i * V + best)) best = v;
    }
    // Two rows that the model has right, one it has wrong.
    const index_t target = i < 2 ? best : i == 2 ? -1 : (best + 1) % V;
    parts.targets.data<std::int32_t>()[i] = static_cast<std::int32_t>(target);
    correct += i < 2 ? 1 : 0;
  }

  scaled_loss(loss, parts);
  EXPECT_EQ(parts.terms[1].correct, 0);
  parts.context.training = false;
  scaled_loss(loss, parts);

  EXPECT_EQ(parts.terms[1].correct, correct);
}

}  // namespace
}  // namespace lockstep
