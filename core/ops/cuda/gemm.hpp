#pragma once

#include "core/ops/gemm.hpp"

namespace lockstep::cuda {

void gemm(Tensor& c,
          const Tensor& a,
          Transpose transpose_a,
          const Tensor& b,
          Transpose transpose_b,
          Accumulate accumulate);

}  // namespace lockstep::cuda
