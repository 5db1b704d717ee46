#include "core/ops/layer_norm.hpp"

#include <gtest/gtest.h>

#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::expect_gradient;
using test::inner;
using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::tolerance;

constexpr double eps = 1e-5;

struct Case {
  Case(index_t N, index_t C, DType dtype)
      : x(test::converted(random_tensor({N, C}, DType::f32, 1), dtype)),
        dy(test::converted(random_tensor({N, C}, DType::f32, 2), dtype)),
        weight(test::converted(random_tensor({C}, DType::f32, 3), dtype)),
        bias(test::converted(random_tensor({C}, DType::f32, 4), dtype)),
        y(x.clone()),
        dx(x.clone()),
        mean(Tensor::zeros({N}, dtype)),
        rstd(Tensor::zeros({N}, dtype)),
        dweight(Tensor::zeros({C}, dtype)),
        dbias(Tensor::zeros({C}, dtype)) {}

  void forward() { layer_norm_forward(y, mean, rstd, x, weight, bias, eps); }
  void backward() {
    layer_norm_backward_input(dx, dy, x, weight, mean, rstd);
    layer_norm_backward_weight(dweight, dbias, dy, x, mean, rstd);
  }

  Tensor x, dy, weight, bias, y, dx, mean, rstd, dweight, dbias;
};

// x = (1, 3): mean 2, variance 1.
TEST(LayerNorm, NormalisesByHand) {
  const Tensor x = Tensor::from<double>({1, 3}, {1, 2}), weight = Tensor::from<double>({2, 2}, {2});
  Tensor y = x.clone(), mean = Tensor::empty({1}, DType::f64), rstd = mean.clone();

  layer_norm_forward(y, mean, rstd, x, weight, Tensor(), 0.0);

  EXPECT_TRUE(same_bits(y, Tensor::from<double>({-2, 2}, {1, 2})));
  EXPECT_EQ(test::value_at(mean, 0), 2);
  EXPECT_EQ(test::value_at(rstd, 0), 1);
}

TEST(LayerNorm, GradientsMatchCentralDifferences) {
  Case c(3, 5, DType::f64);
  const auto loss = [&] {
    c.forward();
    return inner(c.y, c.dy);
  };
  c.forward();

  c.backward();

  expect_gradient(c.x, c.dx, loss);
  expect_gradient(c.weight, c.dweight, loss);
  expect_gradient(c.bias, c.dbias, loss);
}

TEST(LayerNorm, FloatFollowsDouble) {
  for (const index_t N : {0, 1, 597}) {
    Case single(N, 43, DType::f32), twice(N, 43, DType::f64);

    single.forward();
    single.backward();
    twice.forward();
    twice.backward();

    EXPECT_LE(relative_error(single.y, twice.y), tolerance(DType::f32, 43));
    EXPECT_LE(relative_error(single.dx, twice.dx), tolerance(DType::f32, 43));
    EXPECT_LE(relative_error(single.dweight, twice.dweight), tolerance(DType::f32, 43));
    EXPECT_LE(relative_error(single.dbias, twice.dbias), tolerance(DType::f32, 43));
  }
}

TEST(LayerNorm, ParameterGradientsAreAdded) {
  Case once(7, 12, DType::f64), again(7, 12, DType::f64);
  once.forward();
  again.forward();
  again.dweight = random_tensor({12}, DType::f64, 9);
  const Tensor before = again.dweight.clone();

  once.backward();
  again.backward();

  for (index_t i = 0; i < 12; ++i) {
    EXPECT_EQ(test::value_at(again.dweight, i),
              test::value_at(before, i) + test::value_at(once.dweight, i));
  }
}

// A mean of 10,000 would cancel all digits of a variance from sums of squares.
TEST(LayerNorm, SurvivesALargeMean) {
  Case c(1, 64, DType::f32);
  for (index_t i = 0; i < 64; ++i) test::set_value(c.x, i, 10000 + static_cast<double>(i % 2));

  c.forward();

  EXPECT_NEAR(test::value_at(c.rstd, 0), 1 / std::sqrt(0.25 + eps), tolerance(DType::f32, 64));
}

}  // namespace
}  // namespace lockstep
