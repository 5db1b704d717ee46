// The fused end of a branch against the ops it is made of, bit for bit.
#include "core/ops/residual.hpp"

#include <gtest/gtest.h>

#include "core/ops/elementwise.hpp"
#include "core/ops/layer_norm.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::same_bits;

constexpr double eps = 1e-5;

struct Case {
  Case(DType dtype, double probability, bool with_bias)
      : x(random_tensor({12, 43}, dtype, 1)),
        residual(random_tensor({12, 43}, dtype, 2)),
        dy(random_tensor({12, 43}, dtype, 3)),
        other(random_tensor({12, 43}, dtype, 4)),
        bias(with_bias ? random_tensor({43}, dtype, 5) : Tensor()),
        weight(random_tensor({43}, dtype, 6)),
        norm_bias(with_bias ? random_tensor({43}, dtype, 7) : Tensor()),
        spec{probability,
             {17, 99},
             Tensor::from<std::int64_t>({5, (std::int64_t{3} << 40) + 1}, {2}),
             6,
             0} {}

  Tensor empty() const { return Tensor::empty(x.shape(), x.dtype()); }
  Tensor statistic() const { return Tensor::empty({x.rows()}, x.dtype()); }
  // One op after the other.
  Tensor sum() const {
    Tensor sum = x.clone();
    if (bias.defined()) add_bias(sum, bias);
    dropout_forward(sum, sum, spec);
    add(sum, residual, sum);
    return sum;
  }

  Tensor x, residual, dy, other, bias, weight, norm_bias;
  DropoutSpec spec;
};

template <typename F>
void for_each_case(F f) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const double probability : {0.0, 0.25}) {
      for (const bool with_bias : {true, false}) f(Case(dtype, probability, with_bias));
    }
  }
}

TEST(Residual, IsTheBiasTheMaskAndTheSumInOnePass) {
  for_each_case([](const Case& c) {
    Tensor sum = c.empty(), in_place = c.x.clone();

    residual_forward(sum, c.x, c.bias, c.residual, c.spec);
    residual_forward(in_place, in_place, c.bias, c.residual, c.spec);

    EXPECT_TRUE(same_bits(sum, c.sum()));
    EXPECT_TRUE(same_bits(in_place, sum));
  });
}

TEST(Residual, NormOfTheSumIsLayerNorm) {
  for_each_case([](const Case& c) {
    Tensor sum = c.x.clone(), y = c.empty(), mean = c.statistic(), rstd = c.statistic();
    Tensor expected = c.empty(), expected_mean = c.statistic(), expected_rstd = c.statistic();

    residual_norm_forward(sum, y, mean, rstd, sum, c.bias, c.residual, c.weight, c.norm_bias, eps,
                          c.spec);

    layer_norm_forward(expected, expected_mean, expected_rstd, c.sum(), c.weight, c.norm_bias, eps);
    EXPECT_TRUE(same_bits(sum, c.sum()));
    EXPECT_TRUE(same_bits(y, expected));
    EXPECT_TRUE(same_bits(mean, expected_mean));
    EXPECT_TRUE(same_bits(rstd, expected_rstd));
  });
}

TEST(Residual, GradientsAreThoseOfTheNormTheOtherWayAndTheMask) {
  for_each_case([](const Case& c) {
    const Tensor sum = c.sum();
    Tensor y = c.empty(), mean = c.statistic(), rstd = c.statistic();
    layer_norm_forward(y, mean, rstd, sum, c.weight, c.norm_bias, eps);
    for (const Tensor& other : {c.other, Tensor()}) {
      Tensor dsum = c.empty(), dx = c.empty(), alone = c.empty(), none;
      Tensor expected = c.empty(), expected_dx = c.empty();

      residual_norm_backward(dsum, dx, c.dy, other, sum, c.weight, mean, rstd, c.spec);
      residual_norm_backward(alone, none, c.dy, other, sum, c.weight, mean, rstd, c.spec);

      layer_norm_backward_input(expected, c.dy, sum, c.weight, mean, rstd);
      if (other.defined()) add(expected, expected, other);
      dropout_backward(expected_dx, expected, c.spec);
      EXPECT_TRUE(same_bits(dsum, expected));
      EXPECT_TRUE(same_bits(dx, expected_dx));
      EXPECT_TRUE(same_bits(alone, expected));
    }
  });
}

}  // namespace
}  // namespace lockstep
