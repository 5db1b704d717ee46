#include "core/ops/dropout.hpp"

#include <gtest/gtest.h>

#include "core/ops/embedding.hpp"
#include "core/ops/residual.hpp"
#include "tests/core/ops/gradcheck.hpp"

namespace lockstep {
namespace {

using test::random_tensor;
using test::same_bits;
using test::value_at;

DropoutSpec spec_of(double probability) {
  return {probability,
          {17, 99},
          Tensor::from<std::int64_t>({5, (std::int64_t{3} << 40) + 1}, {2}),
          6,
          0};
}

TEST(Dropout, KeepsByTheWordOfItsCoordinates) {
  const index_t C = 263;  // no multiple of 4, more than one block of words
  const DropoutSpec spec = spec_of(0.25);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = random_tensor({12, C}, dtype, 1), residual = random_tensor({12, C}, dtype, 2);
    Tensor y = x.clone();

    residual_forward(y, x, Tensor(), residual, spec);

    for (index_t row = 0; row < 12; ++row) {
      const auto sample = static_cast<std::uint64_t>(spec.sample_ids.data<std::int64_t>()[row / 6]);
      for (index_t c = 0; c < C; ++c) {
        const auto word =
            philox({static_cast<std::uint32_t>(c / 4), static_cast<std::uint32_t>(row % 6),
                    static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(sample >> 32)},
                   spec.key)[static_cast<std::size_t>(c % 4)];
        const double kept = word < keep_threshold(0.25) ? value_at(x, row * C + c) / 0.75 : 0.0;
        ASSERT_LE(std::abs(value_at(y, row * C + c) - (value_at(residual, row * C + c) + kept)),
                  test::tolerance(dtype, 1));
      }
    }
  }
}

TEST(Dropout, ARowCutSeesTheSameMask) {
  const Tensor x = random_tensor({12, 40}, DType::f32, 1);
  Tensor whole = x.clone(), part = Tensor::empty({5, 40}, DType::f32);
  DropoutSpec spec = spec_of(0.5);

  dropout_forward(whole, x, spec);
  spec.first_row = 4;
  dropout_forward(part, x.range(4, 5), spec);

  EXPECT_TRUE(same_bits(part, whole.range(4, 5)));
}

TEST(Dropout, BackwardIsTheSameMaskOnTheGradient) {
  const Tensor x = random_tensor({12, 40}, DType::f64, 1);
  Tensor y = x.clone(), dx = x.clone();

  dropout_forward(y, x, spec_of(0.5));
  dropout_backward(dx, dx, spec_of(0.5));

  EXPECT_TRUE(same_bits(dx, y));
}

TEST(Dropout, ProbabilityZeroIsTheIdentity) {
  const Tensor x = random_tensor({3, 7}, DType::f32, 1);
  Tensor y = Tensor::empty({3, 7}, DType::f32);

  dropout_forward(y, x, DropoutSpec{});
  EXPECT_TRUE(same_bits(y, x));

  residual_forward(y, x, Tensor(), x, DropoutSpec{});
  for (index_t i = 0; i < x.count(); ++i) EXPECT_EQ(value_at(y, i), 2 * value_at(x, i));
}

TEST(Embedding, PicksRowsOfItsSliceOnly) {
  const Tensor table = Tensor::from<float>({1, 2, 3, 4}, {2, 2});  // rows 10 and 11
  const Tensor ids = Tensor::from<std::int32_t>({11, 9, 10, 12}, {4});
  Tensor y = random_tensor({4, 2}, DType::f32, 1);

  embedding_forward(y, ids, table, 10, Accumulate::no);
  EXPECT_TRUE(same_bits(y, Tensor::from<float>({3, 4, 0, 0, 1, 2, 0, 0}, {4, 2})));

  embedding_forward(y, ids, table, 10, Accumulate::yes);
  EXPECT_TRUE(same_bits(y, Tensor::from<float>({6, 8, 0, 0, 2, 4, 0, 0}, {4, 2})));
}

TEST(Embedding, AddsRepeatedTokensToTheirRow) {
  const Tensor ids = Tensor::from<std::int32_t>({11, 11, 9}, {3});
  const Tensor dy = Tensor::from<double>({1, 2, 10, 20, 100, 200}, {3, 2});
  Tensor dtable = Tensor::from<double>({5, 5, 5, 5}, {2, 2});

  embedding_backward(dtable, dy, ids, 10);

  EXPECT_TRUE(same_bits(dtable, Tensor::from<double>({5, 5, 16, 27}, {2, 2})));
}

}  // namespace
}  // namespace lockstep
