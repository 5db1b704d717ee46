// Rounding to bf16 and products of bf16 on the GPU, against the CPU's.
#include "core/ops/bf16.hpp"

#include <bit>

#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"
#include "tests/core/ops/gradcheck.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::on_cpu;
using test::random_tensor;
using test::relative_error;
using test::same_bits;
using test::strided;
using test::tolerance;

class CudaBf16 : public test::CudaTest {};

Tensor rounded(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), DType::bf16, x.device());
  round_to_bf16(y, x);
  return y;
}

// Every upper half with lower halves below, at and above the middle between two bf16: zeros,
// subnormals, infinities, NaNs of few and of all bits.
Tensor every_pattern() {
  Tensor x = Tensor::empty({5, 65536}, DType::f32);
  const std::uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001};
  for (index_t i = 0; i < x.count(); ++i) {
    const auto upper = static_cast<std::uint32_t>(i % 65536);
    x.data<float>()[i] = std::bit_cast<float>((upper << 16) | lower[i / 65536]);
  }
  return x;
}

TEST_F(CudaBf16, RoundsEveryPatternToTheBitsOfTheCpu) {
  const Tensor x = every_pattern();

  EXPECT_TRUE(same_bits(on_cpu(rounded(x.to(gpu))), rounded(x)));
  EXPECT_TRUE(same_bits(on_cpu(rounded(strided(x.to(gpu)))), rounded(x)));
}

TEST_F(CudaBf16, WidensToTheBitsOfTheCpu) {
  const Tensor x = rounded(every_pattern());

  EXPECT_TRUE(same_bits(on_cpu(widened(x.to(gpu))), widened(x)));
  EXPECT_TRUE(same_bits(on_cpu(widened(strided(x.to(gpu)))), widened(x)));
}

// Rows of 8 move 16 bytes at a time, rows of 12 and 43 one element; some have strides, some none.
TEST_F(CudaBf16, TakesRowsOfAnyLengthAndNone) {
  for (const index_t C : {1, 8, 12, 43, 136}) {
    for (const index_t N : {0, 1, 37}) {
      const Tensor x = random_tensor({N, C + 8}, DType::f32, 1), there = x.to(gpu);
      for (const index_t first : {0, 3, 8}) {
        const Tensor part = x.column_range(first, C);
        const Tensor y = rounded(there.column_range(first, C));

        EXPECT_TRUE(same_bits(on_cpu(y), rounded(part))) << N << " x " << C << " from " << first;
        EXPECT_TRUE(same_bits(on_cpu(widened(y)), widened(rounded(part)))) << N << " x " << C;
      }
    }
  }
}

TEST_F(CudaBf16, RoundsIntoColumnsAndLeavesTheirNeighbours) {
  const Tensor x = random_tensor({5, 8}, DType::f32, 1);
  Tensor wide = Tensor::zeros({5, 24}, DType::bf16, gpu),
         expected = Tensor::zeros({5, 24}, DType::bf16);
  Tensor middle = wide.column_range(8, 8), expected_middle = expected.column_range(8, 8);

  round_to_bf16(middle, x.to(gpu));
  round_to_bf16(expected_middle, x);

  EXPECT_TRUE(same_bits(on_cpu(wide), expected));
}

TEST_F(CudaBf16, ProductsFollowForEveryTransposeAndStride) {
  struct Size {
    index_t M, N, K;
  };
  for (const auto& [M, N, K] : {Size{17, 23, 31}, Size{16, 24, 40}, Size{1, 2, 9}, Size{5, 1, 1}}) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
          const Shape of_a = ta == Transpose::yes ? Shape{K, M} : Shape{M, K};
          const Shape of_b = tb == Transpose::yes ? Shape{N, K} : Shape{K, N};
          const Tensor a = rounded(random_tensor(of_a, DType::f32, 1)),
                       b = rounded(random_tensor(of_b, DType::f32, 2));
          Tensor c = random_tensor({M, N}, DType::f32, 3), dense = c.to(gpu),
                 apart = strided(c.to(gpu));

          gemm(c, a, ta, b, tb, accumulate);
          gemm(dense, a.to(gpu), ta, b.to(gpu), tb, accumulate);
          gemm(apart, strided(a.to(gpu)), ta, strided(b.to(gpu)), tb, accumulate);

          EXPECT_LE(relative_error(on_cpu(dense), c), tolerance(DType::f32, K));
          EXPECT_LE(relative_error(on_cpu(apart), c), tolerance(DType::f32, K));
        }
      }
    }
  }
}

TEST_F(CudaBf16, AProductOverNothingIsZeroAndABiasIsAdded) {
  const Tensor bias = random_tensor({24}, DType::f32, 3);
  for (const index_t K : {0, 7, 64}) {
    const Tensor a = rounded(random_tensor({11, K}, DType::f32, 1)),
                 b = rounded(random_tensor({24, K}, DType::f32, 2));
    Tensor c = random_tensor({11, 24}, DType::f32, 4), there = c.to(gpu);

    gemm_bias(c, a, Transpose::no, b, Transpose::yes, bias);
    gemm_bias(there, a.to(gpu), Transpose::no, b.to(gpu), Transpose::yes, bias.to(gpu));

    EXPECT_LE(relative_error(on_cpu(there), c), tolerance(DType::f32, K + 1));
  }
}

TEST_F(CudaBf16, ProductsThatEndWithGeluFollow) {
  for (const index_t F : {17, 24}) {
    const Tensor a = rounded(random_tensor({11, 64}, DType::f32, 1)),
                 b = rounded(random_tensor({F, 64}, DType::f32, 2)),
                 bias = random_tensor({F}, DType::f32, 3);
    Tensor x = random_tensor({11, F}, DType::f32, 4), y = x.clone(), dx = x.clone(),
           x_there = x.to(gpu), y_there = y.to(gpu), dx_there = dx.to(gpu);

    gemm_gelu(y, x, a, Transpose::no, b, Transpose::yes, bias);
    gemm_gelu_gradient(dx, a, Transpose::no, b, Transpose::yes, x);
    gemm_gelu(y_there, x_there, a.to(gpu), Transpose::no, b.to(gpu), Transpose::yes, bias.to(gpu));
    gemm_gelu_gradient(dx_there, a.to(gpu), Transpose::no, b.to(gpu), Transpose::yes, x_there);

    EXPECT_LE(relative_error(on_cpu(x_there), x), tolerance(DType::f32, 65));
    EXPECT_LE(relative_error(on_cpu(y_there), y), tolerance(DType::f32, 66));
    EXPECT_LE(relative_error(on_cpu(dx_there), dx), tolerance(DType::f32, 66));
  }
}

TEST_F(CudaBf16, WeightAndBiasGradientsAreAddedTogether) {
  for (const index_t F : {17, 24}) {
    const Tensor dy = rounded(random_tensor({300, F}, DType::f32, 1)),
                 x = rounded(random_tensor({300, 40}, DType::f32, 2));
    Tensor dw = random_tensor({F, 40}, DType::f32, 3), db = random_tensor({F}, DType::f32, 4),
           dw_there = dw.to(gpu), db_there = db.to(gpu);

    gemm_and_column_sums(dw, db, dy, x);
    gemm_and_column_sums(dw_there, db_there, dy.to(gpu), x.to(gpu));

    EXPECT_LE(relative_error(on_cpu(dw_there), dw), tolerance(DType::f32, 300));
    EXPECT_LE(relative_error(on_cpu(db_there), db), tolerance(DType::f32, 300));
  }
}

// A sum kept in bf16 would stop at 256.
TEST_F(CudaBf16, ProductsSumInSinglePrecision) {
  Tensor ones = Tensor::empty({1, 4096}, DType::f32, gpu);
  fill(ones, 1);
  Tensor c = Tensor::empty({1, 1}, DType::f32, gpu);

  gemm(c, rounded(ones), Transpose::no, rounded(ones), Transpose::yes);

  EXPECT_EQ(test::value_at(on_cpu(c), 0), 4096);
}

TEST_F(CudaBf16, ColumnSumsAreAdded) {
  for (const index_t C : {43, 136}) {
    const Tensor dy = rounded(random_tensor({300, C}, DType::f32, 1));
    Tensor sums = random_tensor({C}, DType::f32, 2), there = sums.to(gpu);

    add_column_sums(sums, dy);
    add_column_sums(there, dy.to(gpu));
    EXPECT_LE(relative_error(on_cpu(there), sums), tolerance(DType::f32, 300));

    add_column_sums(sums, dy);
    add_column_sums(there, strided(dy.to(gpu)));
    EXPECT_LE(relative_error(on_cpu(there), sums), tolerance(DType::f32, 300));
  }
}

}  // namespace
}  // namespace lockstep
