// y = act(x + bias) and dx = dy act'(x + bias), elementwise; x (N, C), bias (C), which may be
// undefined: what a product leaves is read once, with its bias.
//   gelu       x Phi(x) = x/2 (1 + erf(x / sqrt 2))      (Hendrycks & Gimpel 2016)
//   gelu_tanh  x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))      (GPT-2)
//   relu       max(x, 0)
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

enum class Activation { gelu, gelu_tanh, relu };

void activation_forward(Tensor& y, const Tensor& x, const Tensor& bias, Activation activation);
void activation_backward(Tensor& dx,
                         const Tensor& dy,
                         const Tensor& x,
                         const Tensor& bias,
                         Activation activation);

}  // namespace lockstep
