#include "core/ops/elementwise.hpp"

#include <limits>

#include <gtest/gtest.h>

#include "core/ops/activation.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::expect_gradient;
using test::inner;
using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::tolerance;
using test::value_at;

constexpr DType dtypes[] = {DType::f32, DType::f64};
const Tensor none;

constexpr Activation activations[] = {Activation::gelu, Activation::gelu_tanh, Activation::relu};

TEST(Elementwise, AddsStridedRowsInPlace) {
  for (const DType dtype : dtypes) {
    Tensor fused = random_tensor({5, 12}, dtype, 1);
    Tensor a = fused.column_range(3, 4);
    const Tensor before = a.clone(), b = random_tensor({5, 4}, dtype, 2),
                 outside = fused.column_range(7, 5).clone();

    add(a, a, b);

    for (index_t i = 0; i < a.count(); ++i) {
      EXPECT_LE(std::abs(value_at(a, i) - (value_at(before, i) + value_at(b, i))),
                tolerance(dtype, 1));
    }
    EXPECT_TRUE(same_bits(fused.column_range(7, 5), outside));
  }
}

TEST(Elementwise, AddsBiasToEachRow) {
  Tensor y = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});

  add_bias(y, Tensor::from<float>({10, 20, 30}, {3}));

  EXPECT_TRUE(same_bits(y, Tensor::from<float>({11, 22, 33, 14, 25, 36}, {2, 3})));
}

// In floats 2^24 + 1 + 1 is 2^24.
TEST(Elementwise, ColumnSumsRunInDouble) {
  Tensor dbias = Tensor::from<float>({0, 5}, {2});
  const Tensor dy = Tensor::from<float>({16777216.f, 1, 1, 1, 1, 1}, {3, 2});

  add_column_sums(dbias, dy);

  EXPECT_TRUE(same_bits(dbias, Tensor::from<float>({16777218.f, 8}, {2})));
}

TEST(Elementwise, TanhMatchesTheLibraryAndItsGradient) {
  for (const DType dtype : dtypes) {
    Tensor x = random_tensor({597, 43}, dtype, 1), y = Tensor::empty(x.shape(), dtype),
           expected = y.clone();
    scale(x, 6.0);
    for (index_t i = 0; i < x.count(); ++i) test::set_value(expected, i, std::tanh(value_at(x, i)));

    tanh_forward(y, x);

    EXPECT_LE(relative_error(y, expected), tolerance(dtype, 1));
  }
  Tensor x = random_tensor({3, 5}, DType::f64, 1), y = x.clone(), dx = x.clone();
  const Tensor w = random_tensor({3, 5}, DType::f64, 2);
  tanh_forward(y, x);
  tanh_backward(dx, w, y);
  expect_gradient(x, dx, [&] {
    tanh_forward(y, x);
    return inner(y, w);
  });
}

TEST(Elementwise, GathersAndAddsRepeatedRows) {
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {3, 2});
  const Tensor rows = Tensor::from<std::int32_t>({2, 0, 2}, {3});
  Tensor y = Tensor::empty({3, 2}, DType::f32), dx = Tensor::zeros({3, 2}, DType::f32);

  gather_rows(y, x, rows);
  add_rows(dx, y, rows);

  EXPECT_TRUE(same_bits(y, Tensor::from<float>({5, 6, 1, 2, 5, 6}, {3, 2})));
  EXPECT_TRUE(same_bits(dx, Tensor::from<float>({1, 2, 0, 0, 10, 12}, {3, 2})));
}

TEST(Elementwise, SumOfSquaresAddsCanonicalBlocksInOrder) {
  const Tensor x = random_tensor({10000}, DType::f32, 1);
  double by_blocks = 0;
  for (index_t first = 0; first < 10000; first += 4096) {
    by_blocks += sum_of_squares(x.range(first, std::min<index_t>(4096, 10000 - first)));
  }

  EXPECT_EQ(sum_of_squares(x), by_blocks);
  EXPECT_NEAR(by_blocks, inner(x, x), tolerance(DType::f64, 10000) * by_blocks);
  EXPECT_EQ(sum_of_squares(Tensor::empty({0}, DType::f32)), 0);
}

TEST(Elementwise, AllFiniteFindsOneBadElementAnywhere) {
  for (const DType dtype : dtypes) {
    Tensor x = random_tensor({9000}, dtype, 1);
    EXPECT_TRUE(all_finite(x));
    for (const index_t at : {0, 63, 4095, 8999}) {
      for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
        const double before = value_at(x, at);
        test::set_value(x, at, bad);
        EXPECT_FALSE(all_finite(x)) << at;
        test::set_value(x, at, before);
      }
    }
    EXPECT_TRUE(all_finite(Tensor::empty({0}, dtype)));
  }
}

// 1/2 (1 + erf(1 / sqrt 2)) = 0.8413447460685429; the tanh form at 1 by its formula.
TEST(Activation, KnowsItsValuesAtOne) {
  Tensor x = Tensor::from<double>({1, -1, 0}, {3}), y = x.clone();

  activation_forward(y, x, none, Activation::gelu);
  EXPECT_NEAR(value_at(y, 0), 0.8413447460685429, tolerance(DType::f64, 1));
  EXPECT_NEAR(value_at(y, 1), -0.15865525393145707, tolerance(DType::f64, 1));
  EXPECT_EQ(value_at(y, 2), 0);

  activation_forward(y, x, none, Activation::gelu_tanh);
  EXPECT_NEAR(value_at(y, 0), 0.5 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * 1.044715)),
              tolerance(DType::f64, 1));

  activation_forward(y, x, none, Activation::relu);
  EXPECT_TRUE(same_bits(y, Tensor::from<double>({1, 0, 0}, {3})));
}

TEST(Activation, GradientsMatchCentralDifferences) {
  for (const Activation activation : activations) {
    Tensor x = random_tensor({4, 7}, DType::f64, 3), y = x.clone(), dx = x.clone();
    const Tensor w = random_tensor({4, 7}, DType::f64, 4);
    scale(x, 3.0);

    activation_backward(dx, w, x, none, activation);

    expect_gradient(x, dx, [&] {
      activation_forward(y, x, none, activation);
      return inner(y, w);
    });
  }
}

// The bias belongs to the column: rows and blocks of columns each meet their own part of it.
TEST(Activation, OfAProductAndItsBiasIsThatOfTheirSum) {
  for (const Activation activation : activations) {
    const Tensor x = random_tensor({3, 8200}, DType::f32, 5),
                 bias = random_tensor({8200}, DType::f32, 6);
    const Tensor dy = random_tensor({3, 8200}, DType::f32, 7);
    Tensor sum = x.clone(), y = x.clone(), dx = x.clone(), expected = x.clone();
    add_bias(sum, bias);

    activation_forward(y, x, bias, activation);
    activation_forward(expected, sum, none, activation);
    EXPECT_TRUE(same_bits(y, expected));

    activation_backward(dx, dy, x, bias, activation);
    activation_backward(expected, dy, sum, none, activation);
    EXPECT_TRUE(same_bits(dx, expected));
  }
}

TEST(Activation, FloatFollowsDouble) {
  for (const Activation activation : activations) {
    Tensor x = random_tensor({597, 43}, DType::f32, 5),
           dy = random_tensor({597, 43}, DType::f32, 6);
    scale(x, 5.0);
    const Tensor x64 = test::converted(x, DType::f64), dy64 = test::converted(dy, DType::f64);
    Tensor y = x.clone(), dx = x.clone(), y64 = x64.clone(), dx64 = x64.clone();

    activation_forward(y, x, none, activation);
    activation_backward(dx, dy, x, none, activation);
    activation_forward(y64, x64, none, activation);
    activation_backward(dx64, dy64, x64, none, activation);

    EXPECT_LE(relative_error(y, y64), tolerance(DType::f32, 1));
    EXPECT_LE(relative_error(dx, dx64), tolerance(DType::f32, 1));
  }
}

TEST(Activation, StaysFiniteForLargeInputsAndKeepsNaN) {
  for (const Activation activation : activations) {
    Tensor x = Tensor::from<float>({-1000, 1000, std::nanf("")}, {3}), y = x.clone(),
           dx = x.clone();
    const Tensor ones = Tensor::from<float>({1, 1, 1}, {3});

    activation_forward(y, x, none, activation);
    activation_backward(dx, ones, x, none, activation);

    EXPECT_EQ(value_at(y, 0), 0);
    EXPECT_EQ(value_at(y, 1), 1000);
    EXPECT_TRUE(std::isnan(value_at(y, 2)));
    EXPECT_EQ(value_at(dx, 0), 0);
    EXPECT_EQ(value_at(dx, 1), 1);
  }
}

}  // namespace
}  // namespace lockstep
