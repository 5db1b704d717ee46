// Attention of samples whose positions are cut over ranks (core/sequence_cut.hpp): keys and values
// go round the ring of ranks while each rank attends from its own queries (Liu et al. 2023, "Ring
// attention with blockwise transformers"). A rank's chunks and those of a pair of ranks are equal
// work under the causal mask. For N rows of all ranks and width A = heads * head_size, all ranks
// together send 2 (n-1) N A forward and 4 (n-1) N A backward; a group of one sends nothing.
// qkv, dqkv (B*T, 3 A): q | k | v   y, dy (B*T, A)   lse (chunks, B, heads, T / chunks).
#pragma once

#include "core/group.hpp"
#include "core/ops/attention.hpp"
#include "core/sequence_cut.hpp"

namespace lockstep {

// spec: T_q = T_k = T of this rank, lengths of whole samples. cut.rank and cut.size are the
// group's.
void ring_attention_forward(Tensor& y,
                            Tensor& lse,
                            const Tensor& qkv,
                            const AttentionSpec& spec,
                            SequenceCut cut,
                            Group& cp);
// Writes dqkv.
void ring_attention_backward(Tensor& dqkv,
                             const Tensor& dy,
                             const Tensor& qkv,
                             const Tensor& y,
                             const Tensor& lse,
                             const AttentionSpec& spec,
                             SequenceCut cut,
                             Group& cp);

}  // namespace lockstep
