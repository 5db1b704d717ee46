#pragma once

#include "core/ops/layer_norm.hpp"

namespace lockstep::cuda {

void layer_norm_forward(Tensor& y,
                        Tensor& mean,
                        Tensor& rstd,
                        const Tensor& x,
                        const Tensor& weight,
                        const Tensor& bias,
                        double eps);
void layer_norm_backward_input(Tensor& dx,
                               const Tensor& dy,
                               const Tensor& x,
                               const Tensor& weight,
                               const Tensor& mean,
                               const Tensor& rstd);
void layer_norm_backward_weight(Tensor& dweight,
                                Tensor& dbias,
                                const Tensor& dy,
                                const Tensor& x,
                                const Tensor& mean,
                                const Tensor& rstd);

}  // namespace lockstep::cuda
