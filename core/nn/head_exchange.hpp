// Attention over sequences that are cut over cp ranks, with the bits of uncut ones: for its time
// ranks exchange rows for heads, so that each has some heads of whole sequences (Jacobs et al.
// 2023, "DeepSpeed Ulysses"), whose sums then run in the order they always have. N rows of this
// rank, A = heads * head_size columns, n ranks: 4 (n-1) N A elements travel forward and 5 to 8
// backward.
#pragma once

#include "core/group.hpp"
#include "core/ops/attention.hpp"
#include "core/sequence_cut.hpp"

namespace lockstep {

// spec: of this rank's rows and all heads, which cp.size() must divide. qkv (N, 3 A). Returns y (N,
// A); y_heads and lse are of whole sequences: what the backward pass needs.
Tensor exchanged_attention_forward(Tensor& y_heads,
                                   Tensor& lse,
                                   const Tensor& qkv,
                                   const AttentionSpec& spec,
                                   SequenceCut cut,
                                   Group& cp);
// dqkv (N, 3 A).
Tensor exchanged_attention_backward(const Tensor& dy,
                                    const Tensor& qkv,
                                    const Tensor& y_heads,
                                    const Tensor& lse,
                                    const AttentionSpec& spec,
                                    SequenceCut cut,
                                    Group& cp);

}  // namespace lockstep
