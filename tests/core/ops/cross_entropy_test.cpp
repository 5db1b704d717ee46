#include "core/ops/cross_entropy.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "tests/core/ops/gradcheck.hpp"
#include "tests/support/loss.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::relative_error;
using test::tolerance;
using test::value_at;

struct Result {
  Tensor largest, argmax, statistics, gradient;
  double loss = 0;
};

Result evaluate(const Tensor& logits, const Tensor& targets, index_t V, double factor) {
  const index_t N = logits.shape()[0];
  Result r{Tensor::empty({N}, DType::f64), Tensor::empty({N}, DType::i64),
           Tensor::empty({2, N}, DType::f64), logits.clone()};
  cross_entropy_max(r.largest, r.argmax, logits, {0, V});
  cross_entropy_statistics(r.statistics, logits, targets, r.largest, {0, V});
  r.loss = test::cross_entropy_loss(r.largest, r.statistics, targets);
  cross_entropy_backward(r.gradient, targets, r.largest, r.statistics, factor, {0, V});
  return r;
}

Tensor some_targets(index_t N, index_t V) {
  Tensor targets = Tensor::empty({N}, DType::i32);
  for (index_t i = 0; i < N; ++i) {
    targets.data<std::int32_t>()[i] = i % 5 == 4 ? -1 : static_cast<std::int32_t>(i * 7 % V);
  }
  return targets;
}

// Two equal logits: loss ln 2, gradient +-1/2. The padded third column takes no part.
TEST(CrossEntropy, KnowsTwoEqualLogits) {
  const Tensor logits = Tensor::from<double>({3, 3, 100, 1, 2, 100}, {2, 3});
  const Tensor targets = Tensor::from<std::int32_t>({1, -1}, {2});

  const Result r = evaluate(logits, targets, 2, 1.0);

  EXPECT_NEAR(r.loss, std::log(2.0), tolerance(DType::f64, 2));
  EXPECT_TRUE(test::same_bits(r.gradient, Tensor::from<double>({0.5, -0.5, 0, 0, 0, 0}, {2, 3})));
  EXPECT_EQ(value_at(r.argmax, 0), 0);
  EXPECT_EQ(value_at(r.argmax, 1), 1);
}

TEST(CrossEntropy, GradientMatchesCentralDifferences) {
  Tensor logits = random_tensor({6, 11}, DType::f64, 1);
  const Tensor targets = some_targets(6, 9);

  const Result r = evaluate(logits, targets, 9, 0.25);

  test::expect_gradient(logits, r.gradient,
                        [&] { return 0.25 * evaluate(logits, targets, 9, 1).loss; });
}

TEST(CrossEntropy, FloatFollowsDouble) {
  for (const index_t N : {0, 1, 597}) {
    const Tensor logits = random_tensor({N, 1043}, DType::f32, 2), targets = some_targets(N, 1043);

    const Result single = evaluate(logits, targets, 1043, 1.0);
    const Result twice = evaluate(test::converted(logits, DType::f64), targets, 1043, 1.0);

    EXPECT_LE(std::abs(single.loss - twice.loss), tolerance(DType::f32, 1) * std::abs(twice.loss));
    EXPECT_LE(relative_error(single.gradient, twice.gradient), tolerance(DType::f32, 1));
    EXPECT_TRUE(test::same_bits(single.argmax, twice.argmax));
  }
}

// The three steps over slices of 4, 4 and 4 columns of a vocabulary of 7: the last slice is padding
// only.
TEST(CrossEntropy, SlicesOfTheVocabularyJoinToTheWhole) {
  const Tensor logits = random_tensor({10, 12}, DType::f64, 3), targets = some_targets(10, 7);
  const Result whole = evaluate(logits, targets, 7, 2.0);
  Tensor largest = Tensor::empty({10}, DType::f64), joined = Tensor::zeros({2, 10}, DType::f64),
         no_argmax;
  for (index_t i = 0; i < 10; ++i)
    largest.data<double>()[i] = -std::numeric_limits<double>::infinity();

  for (index_t first = 0; first < 12; first += 4) {
    Tensor local = Tensor::empty({10}, DType::f64), argmax = Tensor::empty({10}, DType::i64);
    cross_entropy_max(local, argmax, logits.column_range(first, 4), {first, 7});
    for (index_t i = 0; i < 10; ++i) {
      largest.data<double>()[i] = std::max(value_at(largest, i), value_at(local, i));
      if (first == 8) {
        EXPECT_EQ(value_at(argmax, i), 7);
      }
    }
    cross_entropy_max(local, no_argmax, logits.column_range(first, 4), {first, 7});
  }
  for (index_t first = 0; first < 12; first += 4) {
    Tensor part = Tensor::empty({2, 10}, DType::f64);
    cross_entropy_statistics(part, logits.column_range(first, 4), targets, largest, {first, 7});
    for (index_t i = 0; i < 20; ++i) joined.data<double>()[i] += value_at(part, i);
  }
  Tensor gradient = logits.clone();
  for (index_t first = 0; first < 12; first += 4) {
    Tensor slice = gradient.column_range(first, 4);
    cross_entropy_backward(slice, targets, largest, joined, 2.0, {first, 7});
  }

  EXPECT_NEAR(test::cross_entropy_loss(largest, joined, targets), whole.loss,
              tolerance(DType::f64, 12) * whole.loss);
  EXPECT_LE(relative_error(gradient, whole.gradient), tolerance(DType::f64, 12));
}

TEST(CrossEntropy, ANaNLogitMakesTheLossNaN) {
  Tensor logits = random_tensor({1, 300}, DType::f32, 4);
  test::set_value(logits, 150, std::nan(""));

  const Result r = evaluate(logits, some_targets(1, 300), 300, 1.0);

  EXPECT_TRUE(std::isnan(r.loss));
}

}  // namespace
}  // namespace lockstep
