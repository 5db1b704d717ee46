#pragma once

#include "core/ops/gemm.hpp"

namespace lockstep::cuda {

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate);
// False, and nothing is done, where cuBLASLt does not do both at once.
bool gemm_bias(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias);
bool gemm_and_column_sums(Tensor& c, Tensor& sums, const Tensor& a, const Tensor& b);
bool gemm_gelu(Tensor& c,
               Tensor& x,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               const Tensor& bias);
bool gemm_gelu_gradient(Tensor& c,
                        const Tensor& a,
                        Transpose transpose_a,
                        const Tensor& b,
                        Transpose transpose_b,
                        const Tensor& x);
void time_products(Device device, bool on);
void multiply_in_tf32(Device device, bool on);

}  // namespace lockstep::cuda
