#pragma once

#include "core/ops/adamw.hpp"

namespace lockstep::cuda {

void adamw(Tensor& value, Tensor& m, Tensor& v, const Tensor& gradient, const AdamWStep& step);

}  // namespace lockstep::cuda
