// Products of the GPU in fp32, and what they do beside, against the CPU in fp64.
#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using test::gpu;
using test::numbers;
using test::on_cpu;
using test::on_gpu;
using test::relative_error;
using test::strided;
using test::tolerance;

class CudaProducts : public test::CudaTest {};

struct Size {
  index_t N, C;
};

void expect_near(const Tensor& on_device, const Tensor& reference, index_t length) {
  EXPECT_LE(relative_error(on_cpu(on_device), reference), tolerance(DType::f32, length));
}

TEST_F(CudaProducts, ProductsFollowForEveryTransposeAndStride) {
  constexpr index_t M = 17, N = 23, K = 31;
  for (const Transpose ta : {Transpose::no, Transpose::yes}) {
    for (const Transpose tb : {Transpose::no, Transpose::yes}) {
      for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes}) {
        const Tensor a = ta == Transpose::yes ? numbers({K, M}, 1) : numbers({M, K}, 1);
        const Tensor b = tb == Transpose::yes ? numbers({N, K}, 2) : numbers({K, N}, 2);
        Tensor c = numbers({M, N}, 3), c_gpu = strided(on_gpu(c));

        gemm(c, a, ta, b, tb, accumulate);
        gemm(c_gpu, strided(on_gpu(a)), ta, strided(on_gpu(b)), tb, accumulate);

        expect_near(c_gpu, c, K);
      }
    }
  }
}

TEST_F(CudaProducts, WeightAndBiasGradientsAreAddedTogether) {
  constexpr index_t C = 23;
  for (const index_t N : {31, 1, 0}) {
    for (const index_t F : {17, 16}) {
      const Tensor dy = numbers({N, F}, 1), x = numbers({N, C}, 2);
      Tensor dw = numbers({F, C}, 3), db = numbers({F}, 4), dw_gpu = on_gpu(dw),
             db_gpu = on_gpu(db);

      for (int microbatch = 0; microbatch < 2; ++microbatch) {
        gemm_and_column_sums(dw, db, dy, x);
        gemm_and_column_sums(dw_gpu, db_gpu, strided(on_gpu(dy)), on_gpu(x));
      }

      expect_near(dw_gpu, dw, 2 * N + 1);
      expect_near(db_gpu, db, 2 * N + 1);
    }
  }
}

TEST_F(CudaProducts, AProductOverNothingIsZero) {
  Tensor c = on_gpu(numbers({3, 4}, 1));
  const Tensor a = Tensor::empty({3, 0}, DType::f32, gpu),
               b = Tensor::empty({0, 4}, DType::f32, gpu);

  gemm(c, a, Transpose::no, b, Transpose::no);

  EXPECT_EQ(sum_of_squares(c.reshape({12})), 0);
}

TEST_F(CudaProducts, ProductsReadTf32OnlyWhenAsked) {
  const Tensor a = numbers({64, 256}, 1), b = numbers({64, 256}, 2);
  Tensor exact = Tensor::zeros({64, 64}, DType::f64), there = on_gpu(exact);
  gemm(exact, a, Transpose::no, b, Transpose::yes);
  const auto error = [&] {
    gemm(there, on_gpu(a), Transpose::no, on_gpu(b), Transpose::yes);
    return relative_error(on_cpu(there), exact);
  };

  const double before = error();
  multiply_in_tf32(gpu, true);
  const double with = error();
  multiply_in_tf32(gpu, false);

  EXPECT_LE(before, 1e-6);
  EXPECT_GT(with, 1e-5);
  EXPECT_LE(with, 2e-3);
  EXPECT_EQ(error(), before);
}

// Columns of a multiple of 8 may go through cuBLASLt's epilogues, others do not.
TEST_F(CudaProducts, ProductsThatEndWithGeluFollow) {
  for (const auto& [N, C] : {Size{37, 43}, Size{19, 72}, Size{1, 8}, Size{0, 8}}) {
    for (const index_t K : {0, 13}) {
      Tensor a = numbers({N, K}, 1);
      const Tensor b = numbers({C, K}, 2), bias = numbers({C}, 3), dy = numbers({N, K}, 4);
      scale(a, 3);  // tails too
      const auto all = [](Tensor x, const Tensor& a, const Tensor& b, const Tensor& bias,
                          const Tensor& dy) {
        Tensor y = x.clone(), plain = x.clone(), dx = x.clone();
        gemm_gelu(plain, x, a, Transpose::no, b, Transpose::yes, Tensor{});
        gemm_gelu(y, x, a, Transpose::no, b, Transpose::yes, bias);
        gemm_gelu_gradient(dx, dy, Transpose::no, b, Transpose::yes, x);
        return std::vector<Tensor>{x, y, plain, dx};
      };

      const Tensor x = numbers({N, C}, 5);
      const auto here = all(x.clone(), a, b, bias, dy);
      const auto there = all(on_gpu(x), on_gpu(a), on_gpu(b), on_gpu(bias), on_gpu(dy));

      for (std::size_t i = 0; i < here.size(); ++i) expect_near(there[i], here[i], K + 2);
    }
  }
}

}  // namespace
}  // namespace lockstep
