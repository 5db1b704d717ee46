// See core/ops/attention_merge.hpp.
#pragma once

#include "core/ops/attention.hpp"

namespace lockstep::cpu {

void attention_merge(Tensor& y,
                     Tensor& lse,
                     const Tensor& y_part,
                     const Tensor& lse_part,
                     const AttentionSpec& spec);

}  // namespace lockstep::cpu
