// Rounding to bf16, by bit patterns, and products of bf16 operands.
#include "core/ops/bf16.hpp"

#include <bit>
#include <limits>

#include <gtest/gtest.h>

#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"
#include "core/ops/packed_weights.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::tolerance;

constexpr Transpose transposes[] = {Transpose::no, Transpose::yes};

Tensor rounded(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), DType::bf16);
  round_to_bf16(y, x);
  return y;
}

std::vector<std::uint16_t> rounded_bits(const std::vector<std::uint32_t>& bits) {
  std::vector<float> values;
  for (const std::uint32_t pattern : bits) values.push_back(std::bit_cast<float>(pattern));
  const Tensor y = rounded(Tensor::from(values, {static_cast<index_t>(values.size())}));
  std::vector<std::uint16_t> result;
  for (index_t i = 0; i < y.count(); ++i) result.push_back(y.data<Bf16>()[i].bits);
  return result;
}

TEST(Bf16, RoundsToNearestAndTiesToEven) {
  EXPECT_EQ(
      rounded_bits({0x3f800000, 0x3f807fff, 0x3f808000, 0x3f808001, 0x3f818000, 0xbf818000,
                    0x3f81ffff, 0x3fffffff}),
      (std::vector<std::uint16_t>{0x3f80, 0x3f80, 0x3f80, 0x3f81, 0x3f82, 0xbf82, 0x3f82, 0x4000}));
}

TEST(Bf16, KeepsZerosSubnormalsAndInfinities) {
  EXPECT_EQ(
      rounded_bits({0x00000000, 0x80000000, 0x00010000, 0x00008000, 0x00018000, 0x7f800000,
                    0xff800000, 0x7f7fffff}),
      (std::vector<std::uint16_t>{0x0000, 0x8000, 0x0001, 0x0000, 0x0002, 0x7f80, 0xff80, 0x7f80}));
}

// A NaN whose only bits are low ones would otherwise become an infinity, one of all ones a zero.
TEST(Bf16, KeepsNotANumberOne) {
  EXPECT_EQ(rounded_bits({0x7fc00000, 0x7f800001, 0xff800001, 0xffffffff}),
            (std::vector<std::uint16_t>{0x7fc0, 0x7fc0, 0xffc0, 0xffff}));
}

TEST(Bf16, WideningIsExactAndRoundingBackToo) {
  Tensor all = Tensor::empty({256, 256}, DType::bf16);
  for (index_t i = 0; i < all.count(); ++i)
    all.data<Bf16>()[i].bits = static_cast<std::uint16_t>(i);
  const Tensor wide = widened(all);

  const Tensor again = rounded(wide);

  for (index_t i = 0; i < all.count(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide.data<float>()[i]), static_cast<std::uint32_t>(i)
                                                                       << 16);
    const bool is_nan = (i & 0x7fff) > 0x7f80;
    ASSERT_EQ(again.data<Bf16>()[i].bits, is_nan ? i | 0x40 : i);
  }
}

TEST(Bf16, TakesStridedRowsAndNone) {
  const Tensor x = random_tensor({5, 40}, DType::f32, 1);
  const Tensor part = x.column_range(3, 33);

  EXPECT_TRUE(same_bits(rounded(part), rounded(part.clone())));
  EXPECT_TRUE(same_bits(widened(rounded(x).column_range(3, 33)), widened(rounded(part))));
  EXPECT_EQ(rounded(Tensor::empty({0, 4}, DType::f32)).count(), 0);
}

// op(x) is (rows, columns); x lies in a matrix with `extra` more columns.
Tensor operand(index_t rows,
               index_t columns,
               Transpose transpose,
               index_t extra,
               std::uint64_t seed) {
  if (transpose == Transpose::yes) std::swap(rows, columns);
  return rounded(random_tensor({rows, columns + extra}, DType::f32, seed))
      .column_range(extra / 2, columns);
}

void expect_matches_reference(index_t M, index_t N, index_t K, index_t extra) {
  for (const Transpose ta : transposes) {
    for (const Transpose tb : transposes) {
      for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
        const Tensor a = operand(M, K, ta, extra, 1), b = operand(K, N, tb, extra, 2);
        Tensor c = random_tensor({M, N + extra}, DType::f32, 3).column_range(extra / 2, N),
               expected = c.clone(), fixed = c.clone();

        gemm(c, a, ta, b, tb, accumulate);
        gemm_fixed(fixed, a, ta, b, tb, SumOrder::chain(K), accumulate);
        gemm_reference(expected, a, ta, b, tb, accumulate);

        const double bound = tolerance(DType::f32, K);
        EXPECT_LE(relative_error(c, expected), bound) << M << " " << N << " " << K;
        EXPECT_LE(relative_error(fixed, expected), bound) << M << " " << N << " " << K;
      }
    }
  }
}

TEST(Bf16Gemm, MatchesTheReferenceForEveryTransposeAndStride) {
  expect_matches_reference(37, 43, 59, 0);
  expect_matches_reference(37, 43, 59, 6);
  expect_matches_reference(1, 43, 300, 4);
  expect_matches_reference(1, 43, 300, 0);
  expect_matches_reference(43, 1, 300, 4);
  expect_matches_reference(43, 1, 300, 0);
  expect_matches_reference(43, 31, 1, 0);
  expect_matches_reference(43, 31, 1, 3);
  expect_matches_reference(1, 1, 1, 0);
  expect_matches_reference(1, 1, 9, 2);
}

TEST(Bf16Gemm, MatchesTheReferenceOverSeveralThreads) {
  expect_matches_reference(300, 170, 260, 2);
  expect_matches_reference(70, 600, 129, 0);
  expect_matches_reference(3, 700, 1000, 0);
}

// A sum kept in bf16 would stop at 256.
TEST(Bf16Gemm, SumsInSinglePrecision) {
  Tensor ones = Tensor::empty({1, 4096}, DType::f32);
  fill(ones, 1);
  Tensor c = Tensor::empty({1, 1}, DType::f32);

  gemm(c, rounded(ones), Transpose::no, rounded(ones), Transpose::yes);

  EXPECT_EQ(c.data<float>()[0], 4096);
}

TEST(Bf16Gemm, AddsABiasToEachRow) {
  for (const index_t K : {0, 7, 300}) {
    const Tensor a = rounded(random_tensor({11, K}, DType::f32, 1)),
                 b = rounded(random_tensor({70, K}, DType::f32, 2)),
                 bias = random_tensor({70}, DType::f32, 3);
    Tensor c = random_tensor({11, 70}, DType::f32, 4), expected = c.clone();

    gemm_bias(c, a, Transpose::no, b, Transpose::yes, bias);
    gemm_reference(expected, a, Transpose::no, b, Transpose::yes);
    add_bias(expected, bias);

    EXPECT_LE(relative_error(c, expected), tolerance(DType::f32, K + 1));
  }
}

TEST(Bf16Gemm, RepeatsItsBitsAtOtherAddresses) {
  const Tensor a = operand(140, 700, Transpose::no, 0, 1),
               b = operand(700, 190, Transpose::yes, 0, 2);
  Tensor first = random_tensor({140, 190}, DType::f32, 3), again = first.clone();

  gemm(first, a, Transpose::no, b, Transpose::yes, Accumulate::yes);
  gemm(again, a.clone(), Transpose::no, b.clone(), Transpose::yes, Accumulate::yes);

  EXPECT_TRUE(same_bits(again, first));
}

// Two matrices of one buffer; sizes that are no multiples of oneDNN's blocks, and too few rows.
TEST(PackedWeights, GiveTheProductsOfPlainOnes) {
  const Tensor flat = rounded(random_tensor({150 * 70 + 64 * 200}, DType::f32, 1));
  const PackedWeights kept(flat);
  const Tensor odd = flat.range(0, 150 * 70).reshape({150, 70}),
               even = flat.range(150 * 70, 64 * 200).reshape({64, 200});
  for (const Tensor& weight : {odd, even}) {
    for (const index_t M : {1, 63, 64, 130, 300}) {
      for (const Transpose transpose : transposes) {
        const bool forward = transpose == Transpose::yes;
        const index_t K = forward ? weight.columns() : weight.rows(),
                      N = forward ? weight.rows() : weight.columns();
        const Tensor x = rounded(random_tensor({M, K + 3}, DType::f32, 2)).column_range(1, K);
        Tensor y = random_tensor({M, N}, DType::f32, 3), expected = y.clone(), again = y.clone();

        gemm(y, x, Transpose::no, weight, transpose);
        gemm(again, x, Transpose::no, weight, transpose);
        gemm_reference(expected, x, Transpose::no, weight, transpose);

        EXPECT_LE(relative_error(y, expected), tolerance(DType::f32, K)) << M << " " << N;
        EXPECT_TRUE(same_bits(again, y));
      }
    }
  }
}

TEST(PackedWeights, FollowTheirValuesWhenTold) {
  Tensor weight = rounded(random_tensor({128, 192}, DType::f32, 1));
  const Tensor other = rounded(random_tensor({128, 192}, DType::f32, 2)),
               x = rounded(random_tensor({256, 192}, DType::f32, 3));
  PackedWeights kept(weight);
  Tensor before = Tensor::empty({256, 128}, DType::f32), after = before.clone(),
         expected = before.clone();

  gemm(before, x, Transpose::no, weight, Transpose::yes);
  weight.copy_from(other);
  kept.changed();
  gemm(after, x, Transpose::no, weight, Transpose::yes);
  gemm_reference(expected, x, Transpose::no, other, Transpose::yes);

  EXPECT_LE(relative_error(after, expected), tolerance(DType::f32, 192));
  EXPECT_FALSE(same_bits(after, before));
}

TEST(Bf16Gemm, TakesSizesOfZeroAndOverwritesWhatIsNotANumber) {
  Tensor c = random_tensor({3, 4}, DType::f32, 3);
  const Tensor before = c.clone();
  const Tensor a = Tensor::empty({3, 0}, DType::bf16), b = Tensor::empty({0, 4}, DType::bf16);
  gemm(c, a, Transpose::no, b, Transpose::no, Accumulate::yes);
  EXPECT_TRUE(same_bits(c, before));
  gemm(c, a, Transpose::no, b, Transpose::no);
  EXPECT_TRUE(same_bits(c, Tensor::zeros({3, 4}, DType::f32)));

  fill(c, std::numeric_limits<double>::quiet_NaN());
  Tensor expected = Tensor::zeros({3, 4}, DType::f32);
  const Tensor x = operand(3, 7, Transpose::no, 0, 1), y = operand(7, 4, Transpose::no, 0, 2);
  gemm(c, x, Transpose::no, y, Transpose::no);
  gemm_reference(expected, x, Transpose::no, y, Transpose::no);
  EXPECT_LE(relative_error(c, expected), tolerance(DType::f32, 7));
}

TEST(Bf16, ColumnSumsAreThoseOfTheWidenedRows) {
  const Tensor dy = operand(77, 600, Transpose::no, 6, 5);
  Tensor dbias = random_tensor({600}, DType::f32, 6), expected = dbias.clone();

  add_column_sums(dbias, dy);
  add_column_sums(expected, widened(dy));

  EXPECT_TRUE(same_bits(dbias, expected));
}

}  // namespace
}  // namespace lockstep
