// Between fp32 and bf16, its upper 16 bits: 8 bits of exponent, 7 of mantissa.
// Rounding is to nearest, ties to even; infinities stay, numbers past the largest become them, a
// NaN stays one. Widening is exact. Rows may be strided.
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

void round_to_bf16(Tensor& to, const Tensor& from);  // f32 to bf16
void widen_bf16(Tensor& to, const Tensor& from);     // bf16 to f32

// A contiguous f32 copy of bf16; all else is itself.
Tensor widened(const Tensor& x);

}  // namespace lockstep
