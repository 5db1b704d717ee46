// cublasLtMatmul reads matrices by columns; ours lie by rows, so it is asked for the transpose:
// c^T (N, M) = op(b)^T op(a)^T. A row of c is one of its columns there: a bias per column of c is
// its BIAS, the sums of a's rows, for c += a^T b, are its BGRADB, and x beside c is its AUX.
#include "core/ops/cuda/gemm.hpp"

#include "core/cuda/matmul.hpp"
#include "core/cuda/runtime.hpp"
#include "core/ops/cuda/elementwise.hpp"

namespace lockstep::cuda {
namespace {

Matmul product(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b) {
  return {.out = c,
          .left = b,
          .left_transposed = transpose_b == Transpose::yes,
          .right = a,
          .right_transposed = transpose_a == Transpose::yes};
}

// Weights and biases lie side by side in one buffer; epilogues read 16 bytes at once.
bool aligned(const Tensor& x) { return reinterpret_cast<std::uintptr_t>(x.raw()) % 16 == 0; }

// Rows of a multiple of 8 elements are what the library takes as AUX.
bool fits_beside(const Tensor& x) { return aligned(x) && x.row_stride() % 8 == 0; }

}  // namespace

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate) {
  const index_t K = a.shape()[transpose_a == Transpose::yes ? 0 : 1];
  if (K == 0) {
    if (accumulate == Accumulate::no) c.fill_zero();
    return;
  }
  Matmul plain = product(c, a, transpose_a, b, transpose_b);
  plain.accumulate = accumulate == Accumulate::yes;
  matmul(plain);
}

bool gemm_bias(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias) {
  if (a.count() == 0 || !aligned(bias)) return false;
  Matmul biased = product(c, a, transpose_a, b, transpose_b);
  biased.epilogue = Epilogue::add_vector;
  biased.vector = bias;
  return matmul(biased);
}

// The library writes its sums; a microbatch's are added to those before it.
bool gemm_and_column_sums(Tensor& c, Tensor& sums, const Tensor& a, const Tensor& b) {
  if (a.count() == 0 || b.count() == 0) return false;
  Matmul summing = product(c, a, Transpose::yes, b, Transpose::no);
  summing.accumulate = true;
  summing.epilogue = Epilogue::sum_right;
  summing.vector = Tensor::empty(sums.shape(), DType::f32, sums.device());
  if (!matmul(summing)) return false;
  cuda::add(sums, sums, summing.vector);
  return true;
}

bool gemm_gelu(Tensor& c,
               Tensor& x,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias) {
  if (a.count() == 0 || !fits_beside(x) || (bias.defined() && !aligned(bias))) return false;
  Matmul activated = product(c, a, transpose_a, b, transpose_b);
  activated.epilogue = Epilogue::gelu;
  activated.vector = bias;
  activated.beside = x;
  return matmul(activated);
}

bool gemm_gelu_gradient(Tensor& c,
                        const Tensor& a,
                        Transpose transpose_a,
                        const Tensor& b,
                        Transpose transpose_b,
                        const Tensor& x) {
  if (a.count() == 0 || !fits_beside(x)) return false;
  Matmul sloped = product(c, a, transpose_a, b, transpose_b);
  sloped.epilogue = Epilogue::gelu_gradient;
  sloped.beside = x;
  return matmul(sloped);
}

void time_products(Device device, bool on) { Runtime::of(device).matmuls().set_timing(on); }
void multiply_in_tf32(Device device, bool on) { Runtime::of(device).matmuls().set_tf32(on); }

}  // namespace lockstep::cuda
