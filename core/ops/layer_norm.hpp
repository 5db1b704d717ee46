// y = (x - mean) rstd weight + bias per row.   x, y (N, C)  weight, bias (C)  mean, rstd (N), rstd
// = 1/sqrt(var + eps), biased variance (Ba et al. 2016). bias may be undefined. mean and rstd have
// the dtype of x.
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

void layer_norm_forward(Tensor& y,
                        Tensor& mean,
                        Tensor& rstd,
                        const Tensor& x,
                        const Tensor& weight,
                        const Tensor& bias,
                        double eps);
// dx = rstd (w dy - mean_C(w dy) - xhat mean_C(w dy xhat)), xhat = (x - mean) rstd.
void layer_norm_backward_input(Tensor& dx,
                               const Tensor& dy,
                               const Tensor& x,
                               const Tensor& weight,
                               const Tensor& mean,
                               const Tensor& rstd);
// dweight += sum over rows of dy xhat; dbias += sum over rows of dy (when defined).
void layer_norm_backward_weight(Tensor& dweight,
                                Tensor& dbias,
                                const Tensor& dy,
                                const Tensor& x,
                                const Tensor& mean,
                                const Tensor& rstd);

}  // namespace lockstep
