#pragma once

#include "core/ops/activation.hpp"

namespace lockstep::cuda {

void activation_forward(Tensor& y, const Tensor& x, Activation activation);
void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& x, Activation activation);

}  // namespace lockstep::cuda
