// The machine's arithmetic peak as a program sees it, the denominator of every "share of peak".
#pragma once

#include "core/dtype.hpp"

namespace lockstep {

// GFLOP/s of independent fused multiply-adds in registers on `threads` threads, the best of ten
// runs (30 ms).
double peak_gflops(DType dtype, int threads);

}  // namespace lockstep
