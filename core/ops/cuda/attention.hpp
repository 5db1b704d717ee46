#pragma once

#include "core/ops/attention.hpp"

namespace lockstep::cuda {

void attention_forward(Tensor& y,
                       Tensor& lse,
                       const Tensor& q,
                       const Tensor& k,
                       const Tensor& v,
                       const AttentionSpec& spec);
void attention_backward(Tensor& dq,
                        Tensor& dk,
                        Tensor& dv,
                        const Tensor& dy,
                        const Tensor& q,
                        const Tensor& k,
                        const Tensor& v,
                        const Tensor& y,
                        const Tensor& lse,
                        const AttentionSpec& spec);
std::string why_plain_attention(Device device, const AttentionSpec& spec);
index_t attention_scratch_bytes(Device device, const AttentionSpec& spec, bool backward);

}  // namespace lockstep::cuda
