#pragma once

#include "core/ops/activation.hpp"

namespace lockstep::cuda {

void activation_forward(Tensor& y, const Tensor& x, const Tensor& bias, Activation activation);
void activation_backward(Tensor& dx,
                         const Tensor& dy,
                         const Tensor& x,
                         const Tensor& bias,
                         Activation activation);

}  // namespace lockstep::cuda
