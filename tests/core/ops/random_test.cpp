#include "core/random.hpp"

#include <gtest/gtest.h>

#include "core/ops/elementwise.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::same_bits;
using test::value_at;

// The known answers that Random123 publishes for philox4x32 with 10 rounds.
TEST(Random, PhiloxMatchesPublishedVectors) {
  constexpr std::uint32_t ones = 0xffffffffu;

  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, UniformBelowStaysBelowAndReachesAll) {
  std::uint64_t state = 1;
  bool seen[7] = {};

  for (int i = 0; i < 200; ++i) {
    const std::uint64_t value = uniform_below(7, [&] { return mix(state++); });
    ASSERT_LT(value, 7u);
    seen[value] = true;
  }

  for (const bool one : seen) EXPECT_TRUE(one);
}

TEST(Random, KeepThresholdIsTheFractionOf32Bits) {
  EXPECT_EQ(keep_threshold(0.0), std::uint64_t{1} << 32);
  EXPECT_EQ(keep_threshold(0.5), std::uint64_t{1} << 31);
}

TEST(FillNormal, EveryRectangleIsASliceOfTheWhole) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const index_t width : {11, 12}) {
      Tensor whole = Tensor::empty({9, width}, dtype);
      fill_normal(whole, 0x123456789abcdefull, 0.02, 0, 0, width);
      for (index_t row = 0; row < 9; row += 4) {
        for (index_t column = 0; column < 11; column += 3) {
          Tensor part = Tensor::empty(
              {std::min<index_t>(3, 9 - row), std::min<index_t>(5, width - column)}, dtype);

          fill_normal(part, 0x123456789abcdefull, 0.02, row, column, width);

          const Tensor rows = whole.range(row, part.shape()[0]);
          EXPECT_TRUE(same_bits(part, rows.column_range(column, part.shape()[1])));
        }
      }
    }
  }
}

// Pair k by the definition with the C library's log, cos and sin.
TEST(FillNormal, PairsAreBoxMuller) {
  Tensor x = Tensor::empty({1000}, DType::f64), expected = Tensor::empty({1000}, DType::f64);

  fill_normal(x, 42, 1.0, 0, 0, 1000);

  for (std::uint32_t k = 0; k < 500; ++k) {
    const PhiloxCounter w = philox({k, 0, 0, 0}, {42, 0});
    const double u1 =
        (static_cast<double>(((std::uint64_t{w[1]} << 32) | w[0]) >> 11) + 1) * 0x1p-53;
    const double u2 = static_cast<double>(((std::uint64_t{w[3]} << 32) | w[2]) >> 11) * 0x1p-53;
    const double radius = std::sqrt(-2 * std::log(u1)), angle = 2 * std::acos(-1.0) * u2;
    expected.data<double>()[2 * k] = radius * std::cos(angle);
    expected.data<double>()[2 * k + 1] = radius * std::sin(angle);
  }
  EXPECT_LE(test::relative_error(x, expected), test::tolerance(DType::f64, 1));
}

// Of n draws the mean has the deviation 1 / sqrt(n) and the variance sqrt(2 / n): five of each are
// allowed.
TEST(FillNormal, HasMeanZeroAndTheDeviationAskedFor) {
  constexpr index_t n = 1 << 18;
  Tensor x = Tensor::empty({n}, DType::f64);

  fill_normal(x, 7, 2.0, 0, 0, n);

  double sum = 0, squares = 0;
  for (index_t i = 0; i < n; ++i) {
    sum += value_at(x, i) / 2;
    squares += value_at(x, i) * value_at(x, i) / 4;
  }
  EXPECT_LE(std::abs(sum / n), 5 / std::sqrt(static_cast<double>(n)));
  EXPECT_LE(std::abs(squares / n - 1), 5 * std::sqrt(2.0 / n));
}

TEST(FillNormal, KeysAndHighIndicesGiveOtherNumbers) {
  Tensor a = Tensor::empty({8}, DType::f64), b = a.clone(), c = a.clone();

  fill_normal(a, 1, 1.0, 0, 0, 8);
  fill_normal(b, 1ull << 32, 1.0, 0, 0, 8);
  fill_normal(c, 1, 1.0, index_t{1} << 31, 0, 8);

  EXPECT_FALSE(same_bits(a, b));
  EXPECT_FALSE(same_bits(a, c));
}

}  // namespace
}  // namespace lockstep
