// Sums that do not see the order of their terms, and elementary functions that need no C library.
#include "core/exact_sum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include <gtest/gtest.h>

#include "core/portable_math.hpp"
#include "core/random.hpp"

namespace lockstep {
namespace {

TEST(ExactSum, SeesNoOrder) {
  std::vector<double> terms;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    terms.push_back(
        std::ldexp(static_cast<double>(mix(i, 1) >> 11), static_cast<int>(i % 40) - 60));
  }
  ExactSum forward, backward, left, right;
  long double expected = 0;
  for (const double term : terms) forward += term, expected += term;
  std::reverse(terms.begin(), terms.end());
  for (std::size_t i = 0; i < terms.size(); ++i)
    backward += terms[i], (i < 300 ? left : right) += terms[i];
  right += left;

  EXPECT_EQ(forward.limbs(), backward.limbs());
  EXPECT_EQ(forward.limbs(), right.limbs());
  EXPECT_NEAR(forward.value(), static_cast<double>(expected), 1000 * 0x1p-48);
}

TEST(ExactSum, HoldsSmallNumbersExactly) {
  ExactSum sum;
  for (const double term : {2.5, -0.75, 0x1p-48, 1e15, -1e15}) sum += term;
  EXPECT_EQ(sum.value(), 1.75 + 0x1p-48);
}

TEST(ExactSum, IsNoNumberOnceATermWasNone) {
  for (const double term : {std::nan(""), HUGE_VAL, -HUGE_VAL, 0x1p62}) {
    ExactSum sum;
    sum += 1.0;
    sum += term;
    EXPECT_TRUE(std::isnan(sum.value()));
  }
}

double relative(double x, double expected) { return std::fabs(x - expected) / std::fabs(expected); }

TEST(PortableMath, AgreesWithTheLibrary) {
  constexpr double few_units = 8 * std::numeric_limits<double>::epsilon();
  for (double x : {1e-300, 1e-5, 0.5, 0.999, 1.5, 3.0, 1e10, 1e300}) {
    EXPECT_LE(relative(natural_log(x), std::log(x)), few_units) << x;
  }
  EXPECT_EQ(natural_log(1), 0);
  for (double x : {-700.0, -20.5, -1e-9, 0.0, 0.3, 1.0, 55.5, 700.0}) {
    EXPECT_LE(relative(exponential(x), std::exp(x)), few_units) << x;
  }
  EXPECT_EQ(exponential(-1000), 0);
  EXPECT_EQ(exponential(1000), HUGE_VAL);
  for (double u : {0.0, 0.1, 0.24, 0.3, 0.6, 0.9, 0.999, 12345.25}) {
    const auto [cosine, sine] = cos_sin_turn(u);
    const double angle = 2 * std::numbers::pi * (u - std::floor(u));
    EXPECT_NEAR(cosine, std::cos(angle), few_units) << u;
    EXPECT_NEAR(sine, std::sin(angle), few_units) << u;
  }
  EXPECT_EQ(power(0.5, 0), 1);
  EXPECT_EQ(power(0.5, 10), 0x1p-10);
  EXPECT_LE(relative(power(0.999, 12345), std::pow(0.999, 12345)), 1e-12);
}

}  // namespace
}  // namespace lockstep
