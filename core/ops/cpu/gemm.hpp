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
// The bias is added while a tile of c is in registers.
inline void gemm_bias(Tensor& c,
                      const Tensor& a,
                      Transpose transpose_a,
                      const Tensor& b,
                      Transpose transpose_b,
                      const Tensor& bias) {
  cpu::gemm(c, a, transpose_a, b, transpose_b, Accumulate::no, bias);
}
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
