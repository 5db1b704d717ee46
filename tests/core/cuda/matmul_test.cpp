// Which algorithms products take, when they are timed, and what the epilogues leave behind; of the
// emulated cuBLASLt, which counts.
#include <cublasLt.h>

#include "core/op_graph.hpp"
#include "core/ops/elementwise.hpp"
#include "core/ops/gemm.hpp"
#include "tests/support/cuda.hpp"

namespace lockstep {
namespace {

using emulation::matmul_library;
using test::gpu;
using test::numbers;
using test::on_cpu;
using test::relative_error;
using test::tolerance;

class CudaMatmul : public test::CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    matmul_library() = {};
  }
  void TearDown() override {
    time_products(gpu, false);
    matmul_library() = {};
  }
};

// Sizes that no other test has: each starts from nothing.
struct Operands {
  explicit Operands(index_t size)
      : a(test::on_gpu(numbers({5, size}, 1))),
        b(test::on_gpu(numbers({5, 4}, 2))),
        c(Tensor::zeros({size, 4}, DType::f32, gpu)) {}
  void multiply(Accumulate accumulate = Accumulate::no) {
    gemm(c, a, Transpose::yes, b, Transpose::no, accumulate);
  }

  Tensor a, b, c;
};

TEST_F(CudaMatmul, TimesASizeThatComesTheSecondTime) {
  time_products(gpu, true);
  Operands operands(3);

  operands.multiply();
  EXPECT_EQ(matmul_library().asked, 1);
  EXPECT_EQ(matmul_library().started[0], 1);
  EXPECT_EQ(matmul_library().started[1], 0);

  operands.multiply();
  EXPECT_EQ(matmul_library().asked, 2);
  EXPECT_EQ(matmul_library().started[0], 1 + 3);
  EXPECT_EQ(matmul_library().started[1], 3 + 1);

  for (int i = 0; i < 5; ++i) operands.multiply();
  EXPECT_EQ(matmul_library().asked, 2);
  EXPECT_EQ(matmul_library().started[0], 1 + 3);
  EXPECT_EQ(matmul_library().started[1], 3 + 1 + 5);
}

TEST_F(CudaMatmul, TakesTheFirstChoiceWhereTimingIsOff) {
  Operands operands(6);

  for (int i = 0; i < 4; ++i) operands.multiply();

  EXPECT_EQ(matmul_library().asked, 1);
  EXPECT_EQ(matmul_library().started[0], 4);
  EXPECT_EQ(matmul_library().started[1], 0);
}

TEST_F(CudaMatmul, AProductThatIsTimedIsAddedOnce) {
  time_products(gpu, true);
  Operands once(7), thrice(7);
  once.multiply();

  for (int i = 0; i < 3; ++i) thrice.multiply(Accumulate::yes);

  scale(once.c, 3);
  EXPECT_LE(relative_error(on_cpu(thrice.c), on_cpu(once.c)), tolerance(DType::f32, 3));
}

TEST_F(CudaMatmul, IsNotTimedWhileOpsAreNoted) {
  time_products(gpu, true);
  OpGraph graph(gpu);
  Operands operands(9);
  Tensor x = Tensor::empty({1}, DType::f32, gpu);
  for (int i = 0; i < 2; ++i) graph.run([&] { fill(x, i); });

  for (int i = 0; i < 2; ++i) graph.run([&] { operands.multiply(); });
  EXPECT_EQ(graph.num_launched(), 2);
  EXPECT_EQ(matmul_library().asked, 1);
  EXPECT_EQ(matmul_library().started[1], 0);

  operands.multiply();
  EXPECT_EQ(matmul_library().asked, 2);
  EXPECT_EQ(matmul_library().started[1], 3 + 1);
}

TEST_F(CudaMatmul, BiasAndItsGradientNeedNoPassOfTheirOwn) {
  Operands operands(12);
  Tensor bias = test::on_gpu(numbers({4}, 3)), sums = Tensor::zeros({12}, DType::f32, gpu);

  gemm_bias(operands.c, operands.a, Transpose::yes, operands.b, Transpose::no, bias);
  gemm_and_column_sums(operands.c, sums, operands.a, operands.b);

  EXPECT_EQ(matmul_library().asked, 2);
  EXPECT_EQ(matmul_library().started[0], 2);
}

// gelu_tanh(a b^T + bias), what it keeps beside, and a gradient through it.
struct GeluOperands {
  GeluOperands(index_t rows, index_t columns)
      : a(test::on_gpu(numbers({rows, 5}, 1))),
        b(test::on_gpu(numbers({columns, 5}, 2))),
        bias(test::on_gpu(numbers({columns}, 3))),
        x(Tensor::zeros({rows, columns}, DType::f32, gpu)),
        y(x.clone()),
        dx(x.clone()) {}
  void multiply() {
    gemm_gelu(y, x, a, Transpose::no, b, Transpose::yes, bias);
    gemm_gelu_gradient(dx, a, Transpose::no, b, Transpose::yes, x);
  }

  Tensor a, b, bias, x, y, dx;
};

TEST_F(CudaMatmul, GeluAndItsGradientNeedNoPassOfTheirOwn) {
  GeluOperands operands(14, 8);

  operands.multiply();

  EXPECT_EQ(matmul_library().asked, 2);
  EXPECT_EQ(matmul_library().started[0], 2);
}

// The library would keep x in rows of a multiple of 8 alone: it is not asked, and kernels follow a
// product with its bias and one without.
TEST_F(CudaMatmul, GeluOfRowsThatCannotBeKeptFollowsTheProduct) {
  GeluOperands operands(14, 12), padded(14, 12);
  padded.x = Tensor::zeros({14, 16}, DType::f32, gpu).column_range(0, 12);

  operands.multiply();
  EXPECT_EQ(matmul_library().asked, 2);
  padded.multiply();
  EXPECT_EQ(matmul_library().asked, 4);

  EXPECT_LE(relative_error(on_cpu(operands.y), on_cpu(padded.y)), tolerance(DType::f32, 6));
  EXPECT_LE(relative_error(on_cpu(operands.dx), on_cpu(padded.dx)), tolerance(DType::f32, 6));
}

TEST_F(CudaMatmul, WithoutGeluEpiloguesTheResultIsTheSame) {
  GeluOperands with(15, 16), without(15, 16);
  without.a = test::strided(without.a);  // to the library another size

  with.multiply();
  matmul_library().has_epilogues = false;
  without.multiply();

  EXPECT_LE(relative_error(on_cpu(without.x), on_cpu(with.x)), tolerance(DType::f32, 6));
  EXPECT_LE(relative_error(on_cpu(without.y), on_cpu(with.y)), tolerance(DType::f32, 6));
  EXPECT_LE(relative_error(on_cpu(without.dx), on_cpu(with.dx)), tolerance(DType::f32, 6));
}

// Where the library has neither epilogue, kernels of ours do the same.
TEST_F(CudaMatmul, WithoutEpiloguesTheResultIsTheSame) {
  const Tensor bias = test::on_gpu(numbers({4}, 3));
  Operands with(13), without(13);
  without.a = test::strided(without.a);  // to the library another size
  Tensor sums = Tensor::zeros({13}, DType::f32, gpu), expected = sums.clone();
  const auto run = [&](Operands& operands, Tensor& into) {
    gemm_bias(operands.c, operands.a, Transpose::yes, operands.b, Transpose::no, bias);
    for (int i = 0; i < 2; ++i) gemm_and_column_sums(operands.c, into, operands.a, operands.b);
  };

  run(with, expected);
  matmul_library().has_epilogues = false;
  run(without, sums);

  EXPECT_LE(relative_error(on_cpu(without.c), on_cpu(with.c)), tolerance(DType::f32, 10));
  EXPECT_LE(relative_error(on_cpu(sums), on_cpu(expected)), tolerance(DType::f32, 10));
}

}  // namespace
}  // namespace lockstep
