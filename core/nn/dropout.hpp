// Dropout of a site over the rows this rank holds of a microbatch, whichever they are: with
// sequences cut over cp or rows over tp the masks are those of the whole. Identity in evaluation.
#pragma once

#include "core/nn/context.hpp"

namespace lockstep {

struct DropoutSite {
  Site::Op op;
  double probability = 0;
};

// y = residual + dropped x; residual may be undefined. x, y (N, C); y may be x.
void dropout_forward(Tensor& y,
                     const Tensor& x,
                     const Tensor& residual,
                     DropoutSite site,
                     const Context& context);
// dx = dy dropped in the same places; dx may be dy.
void dropout_backward(Tensor& dx, const Tensor& dy, DropoutSite site, const Context& context);

}  // namespace lockstep
