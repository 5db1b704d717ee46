// The end of a branch, in one pass over its rows: the bias of its last product, dropout, the
// residual sum, and the norm that reads the sum.
//   sum = residual + mask(x + bias) / (1 - p)        mask: core/ops/dropout.hpp
//   y   = layer_norm(sum)                            core/ops/layer_norm.hpp
// x, residual, sum, y (N, C)  bias, weight, norm_bias (C)  mean, rstd (N). bias and norm_bias may
// be undefined. sum may be x.
#pragma once

#include "core/ops/dropout.hpp"
#include "core/tensor.hpp"

namespace lockstep {

void residual_forward(Tensor& sum,
                      const Tensor& x,
                      const Tensor& bias,
                      const Tensor& residual,
                      const DropoutSpec& dropout);
void residual_norm_forward(Tensor& sum,
                           Tensor& y,
                           Tensor& mean,
                           Tensor& rstd,
                           const Tensor& x,
                           const Tensor& bias,
                           const Tensor& residual,
                           const Tensor& weight,
                           const Tensor& norm_bias,
                           double eps,
                           const DropoutSpec& dropout);
// dsum = other + the gradient of the sum through the norm, which is the residual's;
// dx = mask(dsum) / (1 - p). other (N, C), what reaches the sum beside the norm, may be undefined;
// so may dx, which is not written then.
void residual_norm_backward(Tensor& dsum,
                            Tensor& dx,
                            const Tensor& dy,
                            const Tensor& other,
                            const Tensor& sum,
                            const Tensor& weight,
                            const Tensor& mean,
                            const Tensor& rstd,
                            const DropoutSpec& dropout);

}  // namespace lockstep
