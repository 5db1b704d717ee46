#pragma once

#include "core/ops/combine.hpp"

namespace lockstep::cuda {

void combine(Tensor& into, const Tensor& x, Reduce reduce);

}  // namespace lockstep::cuda
