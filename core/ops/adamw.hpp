// One AdamW step (Loshchilov & Hutter 2019) on flat spans, decoupled decay:
//   g = scale gradient;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//   value = value (1 - rate decay) - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) +
//   epsilon).
#pragma once

#include "core/tensor.hpp"

namespace lockstep {

struct AdamWStep {
  double rate = 0, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0;
  double scale = 1;  // of the gradient: 1 / count_0 times the clipping factor
  index_t t = 1;     // from 1
};

void adamw(Tensor& value, Tensor& m, Tensor& v, const Tensor& gradient, const AdamWStep& step);

}  // namespace lockstep
