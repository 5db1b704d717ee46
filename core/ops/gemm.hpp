// c = op(a) op(b), or c += op(a) op(b).   op(a) (M, K)  op(b) (K, N)  c (M, N); op is the identity
// or the transpose. f32 through oneDNN (dnnl_sgemm), f64 by a blocked loop of our own. Rows of a,
// b, c may be strided. Any size may be 0 (K = 0: c = 0, or unchanged when accumulating).
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

enum class Transpose { no, yes };
enum class Accumulate { no, yes };

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate = Accumulate::no);

// The plain triple loop, sums in double: the tests' reference.
void gemm_reference(Tensor& c,
                    const Tensor& a,
                    Transpose transpose_a,
                    const Tensor& b,
                    Transpose transpose_b,
                    Accumulate accumulate = Accumulate::no);

}  // namespace lockstep
