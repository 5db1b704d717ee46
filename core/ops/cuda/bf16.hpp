#pragma once

#include "core/ops/bf16.hpp"

namespace lockstep::cuda {

void round_to_bf16(Tensor& to, const Tensor& from);
void widen_bf16(Tensor& to, const Tensor& from);

}  // namespace lockstep::cuda
