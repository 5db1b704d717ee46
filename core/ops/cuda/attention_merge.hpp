#pragma once

#include "core/ops/attention_merge.hpp"

namespace lockstep::cuda {

void attention_merge(Tensor& y,
                     Tensor& lse,
                     const Tensor& y_part,
                     const Tensor& lse_part,
                     const AttentionSpec& spec);

}  // namespace lockstep::cuda
