#include "core/ops/gemm.hpp"

#include <gtest/gtest.h>

#include "core/ops/elementwise.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::relative_error;
using test::tolerance;

constexpr Transpose transposes[] = {Transpose::no, Transpose::yes};
constexpr DType dtypes[] = {DType::f32, DType::f64};

// op(x) is (rows, columns); x lies in a matrix with `extra` more columns.
Tensor operand(index_t rows,
               index_t columns,
               Transpose transpose,
               DType dtype,
               index_t extra,
               std::uint64_t seed) {
  if (transpose == Transpose::yes) std::swap(rows, columns);
  return random_tensor({rows, columns + extra}, dtype, seed).column_range(extra / 2, columns);
}

void expect_matches_reference(index_t M, index_t N, index_t K, index_t extra) {
  for (const DType dtype : dtypes) {
    for (const Transpose ta : transposes) {
      for (const Transpose tb : transposes) {
        for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
          const Tensor a = operand(M, K, ta, dtype, extra, 1),
                       b = operand(K, N, tb, dtype, extra, 2);
          Tensor c = operand(M, N, Transpose::no, dtype, extra, 3), expected = c.clone();

          gemm(c, a, ta, b, tb, accumulate);
          gemm_reference(expected, a, ta, b, tb, accumulate);

          EXPECT_LE(relative_error(c, expected), tolerance(dtype, K)) << M << " " << N << " " << K;
        }
      }
    }
  }
}

TEST(Gemm, MultipliesByHand) {
  const Tensor a = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {2, 3}),
               b = Tensor::from<double>({1, 0, 2, 1, 0, 3}, {3, 2});
  Tensor c = Tensor::from<double>({100, 100, 100, 100}, {2, 2});

  gemm(c, a, Transpose::no, b, Transpose::no, Accumulate::yes);

  EXPECT_TRUE(test::same_bits(c, Tensor::from<double>({105, 111, 114, 123}, {2, 2})));
}

TEST(Gemm, MatchesTheReferenceForEveryTransposeAndStride) {
  expect_matches_reference(37, 43, 59, 0);
  expect_matches_reference(37, 43, 59, 6);
  expect_matches_reference(1, 43, 300, 4);
  expect_matches_reference(43, 1, 300, 4);
  expect_matches_reference(1, 1, 1, 0);
}

TEST(Gemm, MatchesTheReferenceAcrossPieces) {
  expect_matches_reference(300, 17, 260, 2);
  expect_matches_reference(3, 1600, 5, 0);
}

// Sizes beyond a block of each kind: several of K, of N, and a last tile of each that is not whole.
TEST(Gemm, MatchesTheReferenceAcrossBlocks) {
  expect_matches_reference(31, 450, 600, 3);
  expect_matches_reference(7, 70, 3300, 0);
}

TEST(Gemm, AddsABiasToEachRow) {
  for (const DType dtype : dtypes) {
    for (const index_t K : {0, 7, 300}) {
      const Tensor a = random_tensor({11, K}, dtype, 1), b = random_tensor({70, K}, dtype, 2),
                   bias = random_tensor({70}, dtype, 3);
      Tensor c = random_tensor({11, 70}, dtype, 4), expected = c.clone();

      gemm_bias(c, a, Transpose::no, b, Transpose::yes, bias);
      gemm_reference(expected, a, Transpose::no, b, Transpose::yes);
      add_bias(expected, bias);

      EXPECT_LE(relative_error(c, expected), tolerance(dtype, K + 1));
    }
  }
}

TEST(Gemm, AddsColumnSumsToTheBitsOfAPassOfTheirOwn) {
  for (const DType dtype : dtypes) {
    const Tensor a = random_tensor({37, 11}, dtype, 1), b = random_tensor({37, 70}, dtype, 2);
    Tensor c = random_tensor({11, 70}, dtype, 3), expected = c.clone();
    Tensor sums = random_tensor({11}, dtype, 4), expected_sums = sums.clone();

    gemm_and_column_sums(c, sums, a, b);
    gemm(expected, a, Transpose::yes, b, Transpose::no, Accumulate::yes);
    add_column_sums(expected_sums, a);

    EXPECT_TRUE(test::same_bits(c, expected));
    EXPECT_TRUE(test::same_bits(sums, expected_sums));
  }
}

TEST(Gemm, RepeatsItsBits) {
  for (const DType dtype : dtypes) {
    const Tensor a = random_tensor({140, 700}, dtype, 1), b = random_tensor({190, 700}, dtype, 2);
    Tensor first = random_tensor({140, 190}, dtype, 3), again = first.clone();

    gemm(first, a, Transpose::no, b, Transpose::yes, Accumulate::yes);
    const Tensor elsewhere = a.clone();  // other addresses
    gemm(again, elsewhere, Transpose::no, b, Transpose::yes, Accumulate::yes);

    EXPECT_TRUE(test::same_bits(again, first));
  }
}

TEST(Gemm, OverwritesWhatIsNotANumber) {
  for (const DType dtype : dtypes) {
    const Tensor a = random_tensor({5, 7}, dtype, 1), b = random_tensor({7, 3}, dtype, 2);
    Tensor c = Tensor::empty({5, 3}, dtype), expected = Tensor::zeros({5, 3}, dtype);
    fill(c, std::nan(""));

    gemm(c, a, Transpose::no, b, Transpose::no);
    gemm_reference(expected, a, Transpose::no, b, Transpose::no);

    EXPECT_LE(relative_error(c, expected), tolerance(dtype, 7));
  }
}

TEST(Gemm, TakesSizesOfZero) {
  for (const DType dtype : dtypes) {
    Tensor c = random_tensor({3, 4}, dtype, 3);
    const Tensor before = c.clone();
    const Tensor a = Tensor::empty({3, 0}, dtype), b = Tensor::empty({0, 4}, dtype);

    gemm(c, a, Transpose::no, b, Transpose::no, Accumulate::yes);
    EXPECT_TRUE(test::same_bits(c, before));

    gemm(c, a, Transpose::no, b, Transpose::no);
    EXPECT_TRUE(test::same_bits(c, Tensor::zeros({3, 4}, dtype)));

    Tensor none = Tensor::empty({0, 4}, dtype);
    gemm(none, Tensor::empty({0, 5}, dtype), Transpose::no, random_tensor({5, 4}, dtype, 1),
         Transpose::no);
    EXPECT_EQ(none.count(), 0);
  }
}

}  // namespace
}  // namespace lockstep
