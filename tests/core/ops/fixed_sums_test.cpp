// Sums over rows and elements whose bits no cut changes.
#include "core/ops/fixed_sums.hpp"

#include <gtest/gtest.h>

#include "core/ops/elementwise.hpp"
#include "core/ops/embedding.hpp"
#include "core/ops/layer_norm.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::tolerance;

constexpr index_t N = 48, C = 70;

// sum(to, first row, rows, order) over all rows in a tree of 4, against each quarter by itself in
// pieces of 5 rows, joined by hand.
template <typename Sum>
void expect_tree_of_chains(Shape shape, Sum sum) {
  Tensor whole = Tensor::zeros(shape, DType::f32);
  sum(whole, 0, N, SumOrder::shards(N, 4));
  std::vector<Tensor> parts;
  for (index_t part = 0; part < 4; ++part) {
    parts.push_back(Tensor::zeros(shape, DType::f32));
    for (index_t row = 0; row < N / 4; row += 5) {
      const index_t rows = std::min<index_t>(5, N / 4 - row);
      sum(parts.back(), part * N / 4 + row, rows, SumOrder::chain(rows));
    }
  }
  add(parts[0], parts[0], parts[1]);
  add(parts[2], parts[2], parts[3]);
  add(parts[0], parts[0], parts[2]);

  EXPECT_TRUE(same_bits(whole, parts[0]));
}

TEST(FixedSums, OfColumnsAreATreeOfChains) {
  const Tensor dy = random_tensor({N, C}, DType::f32, 1);
  Tensor expected = Tensor::zeros({C}, DType::f32), sums = expected.clone();

  expect_tree_of_chains({C}, [&](Tensor& to, index_t first, index_t rows, const SumOrder& order) {
    fixed_column_sums(to, dy.range(first, rows), order);
  });
  add_column_sums(expected, dy);
  fixed_column_sums(sums, dy, SumOrder::shards(N, 8));

  EXPECT_LE(relative_error(sums, expected), tolerance(DType::f32, N));
}

TEST(FixedSums, OfLayerNormAreATreeOfChains) {
  const Tensor dy = random_tensor({N, C}, DType::f32, 1), x = random_tensor({N, C}, DType::f32, 2),
               mean = random_tensor({N}, DType::f32, 3), rstd = random_tensor({N}, DType::f32, 4);
  Tensor none;

  expect_tree_of_chains({C}, [&](Tensor& to, index_t first, index_t rows, const SumOrder& order) {
    fixed_layer_norm_sums(to, none, dy.range(first, rows), x.range(first, rows),
                          mean.range(first, rows), rstd.range(first, rows), order);
  });
  expect_tree_of_chains({C}, [&](Tensor& to, index_t first, index_t rows, const SumOrder& order) {
    Tensor dweight = Tensor::zeros({C}, DType::f32);
    fixed_layer_norm_sums(dweight, to, dy.range(first, rows), x.range(first, rows),
                          mean.range(first, rows), rstd.range(first, rows), order);
  });

  Tensor expected = Tensor::zeros({C}, DType::f32), sums = expected.clone();
  layer_norm_backward_weight(expected, none, dy, x, mean, rstd);
  fixed_layer_norm_sums(sums, none, dy, x, mean, rstd, SumOrder::chain(N));
  EXPECT_LE(relative_error(sums, expected), tolerance(DType::f32, N));
}

TEST(FixedSums, OfAnEmbeddingAreATreeOfChains) {
  const Tensor dy = random_tensor({N, C}, DType::f32, 1);
  std::vector<std::int32_t> numbers;
  for (std::int32_t i = 0; i < N; ++i) numbers.push_back(10 + i * i % 7);
  const Tensor ids = Tensor::from(numbers, {N});

  // Of the ids 10 to 16 the table has rows 11 to 15.
  expect_tree_of_chains(
      {5, C}, [&](Tensor& to, index_t first, index_t rows, const SumOrder& order) {
        fixed_embedding_sums(to, dy.range(first, rows), ids.range(first, rows), 11, order);
      });

  Tensor expected = Tensor::zeros({5, C}, DType::f32), sums = expected.clone();
  embedding_backward(expected, dy, ids, 11);
  fixed_embedding_sums(sums, dy, ids, 11, SumOrder::shards(N, 8));
  EXPECT_LE(relative_error(sums, expected), tolerance(DType::f32, N));
}

TEST(FixedSums, JoinLeftToRightAndClear) {
  Tensor to = Tensor::empty({3}, DType::f32), from = Tensor::from<float>({1, 2, 3}, {3});
  const Tensor left = Tensor::from<float>({10, 20, 30}, {3}),
               further = Tensor::from<float>({100, 200, 300}, {3});

  join_sums(to, from, {left, further});

  EXPECT_TRUE(same_bits(to, Tensor::from<float>({111, 222, 333}, {3})));
  EXPECT_TRUE(same_bits(from, Tensor::zeros({3}, DType::f32)));
  join_sums(to, to, {left});
  EXPECT_TRUE(same_bits(to, Tensor::from<float>({121, 242, 363}, {3})));
}

SquareBins added(SquareBins a, const SquareBins& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

TEST(FixedSums, OfSquaresSeeNoCut) {
  Tensor x = random_tensor({100003}, DType::f32, 1);
  for (index_t i = 0; i < x.count(); i += 3) x.data<float>()[i] *= 1e-6f;
  const double largest = largest_magnitude(x);
  const SquareBins whole = squares_in_bins(x, largest);

  for (const index_t cut : {1, 77, 4096, 65537}) {
    const SquareBins parts = added(squares_in_bins(x.range(cut, x.count() - cut), largest),
                                   squares_in_bins(x.range(0, cut), largest));
    EXPECT_EQ(parts, whole) << cut;
  }
  EXPECT_NEAR(whole[0] + (whole[1] + whole[2]), sum_of_squares(x),
              tolerance(DType::f64, x.count()) * sum_of_squares(x));
}

TEST(FixedSums, OfSquaresShowWhatIsNotFinite) {
  Tensor x = random_tensor({100}, DType::f32, 1);
  x.data<float>()[50] = std::nanf("");
  EXPECT_TRUE(std::isnan(squares_in_bins(x, largest_magnitude(x))[0]));

  x.data<float>()[50] = -INFINITY;
  EXPECT_EQ(largest_magnitude(x), INFINITY);
  EXPECT_EQ(squares_in_bins(x, INFINITY)[0], INFINITY);

  const Tensor zero = Tensor::zeros({5}, DType::f32);
  EXPECT_EQ(largest_magnitude(zero), 0);
  EXPECT_EQ(squares_in_bins(zero, 0), (SquareBins{0, 0, 0}));
}

}  // namespace
}  // namespace lockstep
