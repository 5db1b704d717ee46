#pragma once

#include "core/ops/dropout.hpp"

namespace lockstep::cpu {

void dropout_forward(Tensor& y, const Tensor& x, const DropoutSpec& spec);
void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec);

}  // namespace lockstep::cpu
