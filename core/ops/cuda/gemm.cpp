// cublasLtMatmul reads matrices by columns; ours lie by rows, so it is asked for the transpose:
// c^T (N, M) = op(b)^T op(a)^T.
#include "core/ops/cuda/gemm.hpp"

#include "core/cuda/matmul.hpp"

namespace lockstep::cuda {

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
  matmul({.out = c,
          .left = b,
          .left_transposed = transpose_b == Transpose::yes,
          .right = a,
          .right_transposed = transpose_a == Transpose::yes,
          .accumulate = accumulate == Accumulate::yes,
          .bias = Tensor()});
}

}  // namespace lockstep::cuda
