#pragma once

#include "core/ops/combine.hpp"

namespace lockstep::cpu {

void combine(Tensor& into, const Tensor& x, Reduce reduce);

}  // namespace lockstep::cpu
