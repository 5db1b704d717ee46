#pragma once

#include "core/ops/gemm.hpp"

namespace lockstep::cpu {

// bias (N) may be undefined; not together with Accumulate::yes.
void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate,
          const Tensor& bias = {});
// c = or += a product of bf16 operands, summed in f32; no size is 0.
void gemm_bf16(Tensor& c,
               const Tensor& a,
               Transpose transpose_a,
               const Tensor& b,
               Transpose transpose_b,
               index_t K,
               bool adds);
void gemm_fixed(Tensor& c,
                const Tensor& a,
                Transpose transpose_a,
                const Tensor& b,
                Transpose transpose_b,
                const SumOrder& order,
                Accumulate accumulate);
void gemm_reference(Tensor& c,
                    const Tensor& a,
                    Transpose transpose_a,
                    const Tensor& b,
                    Transpose transpose_b,
                    Accumulate accumulate);

}  // namespace lockstep::cpu
