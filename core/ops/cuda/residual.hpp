#pragma once

#include "core/ops/residual.hpp"

namespace lockstep::cuda {

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
void residual_norm_backward(Tensor& dsum,
                            Tensor& dx,
                            const Tensor& dy,
                            const Tensor& other,
                            const Tensor& sum,
                            const Tensor& weight,
                            const Tensor& mean,
                            const Tensor& rstd,
                            const DropoutSpec& dropout);

}  // namespace lockstep::cuda
