// Products with sums of a fixed order: the bits of a plain chain, for every size, cut and
// transpose.
#include <cmath>

#include <gtest/gtest.h>
#include <omp.h>

#include "core/ops/gemm.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::same_bits;

// op(x) is (rows, columns); x lies in a wider matrix.
Tensor operand(index_t rows,
               index_t columns,
               Transpose transpose,
               DType dtype,
               std::uint64_t seed) {
  if (transpose == Transpose::yes) std::swap(rows, columns);
  return random_tensor({rows, columns + 5}, dtype, seed).column_range(2, columns);
}

template <typename T>
T at(const Tensor& x, Transpose transpose, index_t i, index_t j) {
  if (transpose == Transpose::yes) std::swap(i, j);
  return x.data<T>()[i * x.row_stride() + j];
}

// The definition: chains of fma from +0 (or from c), joined in a binary tree.
template <typename T>
Tensor by_definition(const Tensor& c,
                     const Tensor& a,
                     Transpose ta,
                     const Tensor& b,
                     Transpose tb,
                     const SumOrder& order,
                     Accumulate accumulate) {
  Tensor result = c.clone();
  for (index_t i = 0; i < c.rows(); ++i) {
    for (index_t j = 0; j < c.columns(); ++j) {
      T& element = result.data<T>()[i * result.row_stride() + j];
      std::vector<T> sums;
      T chain = accumulate == Accumulate::yes ? element : T{0};
      for (const SumRange& range : order.ranges()) {
        for (index_t k = range.first; k < range.first + range.count; ++k) {
          chain = std::fma(at<T>(a, ta, i, k), at<T>(b, tb, k, j), chain);
        }
        if (range.closes) sums.push_back(std::exchange(chain, T{0}));
      }
      for (std::size_t apart = 1; apart < sums.size(); apart *= 2) {
        for (std::size_t s = 0; s < sums.size(); s += 2 * apart) sums[s] += sums[s + apart];
      }
      element = sums[0];
    }
  }
  return result;
}

template <typename T>
void expect_defined_bits(index_t M, index_t N, const SumOrder& order) {
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
        if (accumulate == Accumulate::yes && order.num_chains() > 1) continue;
        const Tensor a = operand(M, order.count(), ta, dtype_of<T>, 1),
                     b = operand(order.count(), N, tb, dtype_of<T>, 2);
        Tensor c = operand(M, N, Transpose::no, dtype_of<T>, 3);
        const Tensor expected = by_definition<T>(c, a, ta, b, tb, order, accumulate);

        gemm_fixed(c, a, ta, b, tb, order, accumulate);

        EXPECT_TRUE(same_bits(c, expected))
            << M << " x " << order.count() << " x " << N << ", " << order.num_chains() << " chains";
      }
    }
  }
}

template <typename T>
void expect_defined_bits_of_all_sizes() {
  expect_defined_bits<T>(37, 43, SumOrder::chain(59));
  expect_defined_bits<T>(14, 32, SumOrder::chain(1));
  expect_defined_bits<T>(1, 1, SumOrder::chain(300));
  expect_defined_bits<T>(1, 67, SumOrder::chain(0));
  expect_defined_bits<T>(130, 3, SumOrder::chain(515));
  expect_defined_bits<T>(29, 35, SumOrder::shards(48, 8));
  expect_defined_bits<T>(29, 35, SumOrder::shards(48, 4, 3));
  expect_defined_bits<T>(15, 33, SumOrder::shards(1200, 2));
  expect_defined_bits<T>(15, 33, SumOrder::between({0, 7, 7, 20, 21}));
}

TEST(GemmFixed, IsTheTreeOfChainsForFloats) { expect_defined_bits_of_all_sizes<float>(); }
TEST(GemmFixed, IsTheTreeOfChainsForDoubles) { expect_defined_bits_of_all_sizes<double>(); }

TEST(GemmFixed, KeepsItsBitsAcrossBlocksOfRowsAndColumns) {
  const Tensor a = random_tensor({1100, 40}, DType::f32, 1),
               b = random_tensor({40, 3100}, DType::f32, 2);
  const SumOrder order = SumOrder::shards(40, 8);
  Tensor whole = Tensor::empty({1100, 3100}, DType::f32),
         piece = Tensor::empty({7, 33}, DType::f32);

  gemm_fixed(whole, a, Transpose::no, b, Transpose::no, order);
  for (const index_t row : {0, 1020, 1093}) {
    for (const index_t column : {0, 3060, 3067}) {
      gemm_fixed(piece, a.range(row, 7), Transpose::no, b.column_range(column, 33), Transpose::no,
                 order);
      EXPECT_TRUE(same_bits(piece, whole.range(row, 7).column_range(column, 33)));
    }
  }
}

// Two ranks with a half of the chains each, and one addition: what tp 2 computes.
TEST(GemmFixed, JoinsSubtreesLikeTheWholeTree) {
  const Tensor a = random_tensor({20, 64}, DType::f32, 1),
               b = random_tensor({64, 24}, DType::f32, 2);
  Tensor whole = Tensor::empty({20, 24}, DType::f32), left = whole.clone(), right = whole.clone();

  gemm_fixed(whole, a, Transpose::no, b, Transpose::no, SumOrder::shards(64, 8));
  gemm_fixed(left, a.column_range(0, 32), Transpose::no, b.range(0, 32), Transpose::no,
             SumOrder::shards(32, 4));
  gemm_fixed(right, a.column_range(32, 32), Transpose::no, b.range(32, 32), Transpose::no,
             SumOrder::shards(32, 4));
  for (index_t i = 0; i < left.count(); ++i) left.data<float>()[i] += right.data<float>()[i];

  EXPECT_TRUE(same_bits(left, whole));
}

TEST(GemmFixed, DoesNotSeeThreads) {
  const Tensor a = random_tensor({300, 400}, DType::f32, 1),
               b = random_tensor({400, 300}, DType::f32, 2);
  Tensor one = Tensor::empty({300, 300}, DType::f32), three = one.clone();
  const int before = omp_get_max_threads();

  omp_set_num_threads(1);
  gemm_fixed(one, a, Transpose::no, b, Transpose::no, SumOrder::shards(400, 4));
  omp_set_num_threads(3);
  gemm_fixed(three, a, Transpose::no, b, Transpose::no, SumOrder::shards(400, 4));
  omp_set_num_threads(before);

  EXPECT_TRUE(same_bits(one, three));
}

// What the emulated multiply-add of the scalar kernels must get right: sums that cancel, halfway
// cases, subnormal and infinite results.
TEST(GemmFixed, RoundsOnceAtTheEdgesOfFloat) {
  const std::vector<float> edges = {0.0f,          -0.0f,          1.0f,           -1.0f,
                                    0x1p-149f,     -0x1p-149f,     0x1p-126f,      0x1.fffffep127f,
                                    0x1.000002p0f, 0x1p24f,        0x1.fffffep-1f, 0x1p-75f,
                                    0x1.8p-74f,    -0x1.000002p24f};
  const auto n = static_cast<index_t>(edges.size());
  Tensor a = Tensor::empty({n, 2}, DType::f32), b = Tensor::empty({2, n * n}, DType::f32);
  for (index_t i = 0; i < n; ++i) {
    a.data<float>()[2 * i] = 1.0f;
    a.data<float>()[2 * i + 1] = edges[static_cast<std::size_t>(i)];
    for (index_t j = 0; j < n; ++j) {
      b.data<float>()[i * n + j] = edges[static_cast<std::size_t>(i)];
      b.data<float>()[n * n + i * n + j] = edges[static_cast<std::size_t>(j)];
    }
  }
  Tensor c = Tensor::empty({n, n * n}, DType::f32);

  gemm_fixed(c, a, Transpose::no, b, Transpose::no, SumOrder::chain(2));

  EXPECT_TRUE(same_bits(c, by_definition<float>(c, a, Transpose::no, b, Transpose::no,
                                                SumOrder::chain(2), Accumulate::no)));
}

}  // namespace
}  // namespace lockstep
