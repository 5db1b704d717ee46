// Attention by cuDNN (core/cuda/attention_plans.hpp): q, k, v, y and their gradients are rounded to
// bf16 for it, and what it writes is widened. Rows past a sample's length, which it leaves
// undefined, come out as core/ops/attention.hpp says.
#pragma once

#include "core/ops/attention.hpp"

namespace lockstep::cuda {

bool uses_cudnn(const Tensor& q, const AttentionSpec& spec);
index_t cudnn_scratch_bytes(Device device, const AttentionSpec& spec, bool backward);

void cudnn_attention_forward(Tensor& y,
                             Tensor& lse,
                             const Tensor& q,
                             const Tensor& k,
                             const Tensor& v,
                             const AttentionSpec& spec);
void cudnn_attention_backward(Tensor& dq,
                              Tensor& dk,
                              Tensor& dv,
                              const Tensor& dy,
                              const Tensor& q,
                              const Tensor& k,
                              const Tensor& v,
                              const Tensor& y,
                              const Tensor& lse,
                              const AttentionSpec& spec);

}  // namespace lockstep::cuda
