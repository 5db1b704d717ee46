// The machine's arithmetic peak as a program sees it, the denominator of every "share of peak".
#pragma once

#include "core/device.hpp"
#include "core/dtype.hpp"

namespace lockstep {

// GFLOP/s of products that read `precision`. Of the CPU: independent fused multiply-adds in
// registers on `threads` threads, the best of 40 runs (0.12 s); for bf16 those of AVX512_BF16 (AMX,
// which does more, is not measured), or fp32's without it. Of a GPU: the maker's figure for its
// number of multiprocessors.
double peak_gflops(Device device, DType precision, int threads);

}  // namespace lockstep
