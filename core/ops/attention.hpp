// Multi-head attention without a T x T tensor: y = softmax(scale q k^T + mask) dropout v, per
// sample and head, by blocks of query rows; the backward pass recomputes the probabilities from
// lse, the log of each row's sum of exponentials. B samples, NH heads (of this rank), HS head size.
// q, y (B*T_q, NH*HS)  k, v (B*T_k, NH*HS), lse (B, NH, T_q); row_starts may say fewer rows, and
// lse has (NH, rows) of sample after sample. q, k, v and their gradients may be column views of one
// fused matrix (strided rows).
#pragma once

#include <string>

#include "core/random.hpp"
#include "core/tensor.hpp"

namespace lockstep {

// Which keys a query sees. The general rule is visible(i, j) = key_order[j] < query_order[i]; these
// are its fast paths: full: j < length; causal: j <= i and j < length; i and j are positions in the
// sample. Rows at or past the length, and samples without keys, get y = 0 and pass no gradient.
enum class Mask { full, causal };

// Who computes attention on a GPU. plain: kernels of ours, in fp32. cudnn: NVIDIA's library where
// it takes the shape (why_plain_attention): products read q, k, v, dy, y and the probabilities
// rounded to bf16, and the sums of dq come in an order that changes from call to call.
// deterministic: the same with all sums in one order.
enum class AttentionKernels { plain, cudnn, deterministic };

struct AttentionSpec {
  index_t B = 0, T_q = 0, T_k = 0;
  index_t heads = 0, kv_heads = 0,
          head_size = 0;  // of this rank; kv_heads = heads until grouped queries arrive
  double scale = 1;       // of q k^T: 1/sqrt(head_size) for GPT and BERT
  Mask mask = Mask::full;
  AttentionKernels kernels = AttentionKernels::plain;  // the CPU has but one
  Tensor lengths;  // (B) i32 valid keys and queries of each sample; undefined: all T
  // (B + 1) i64 in host memory: rows of sample b begin at row_starts[b] and end before
  // row_starts[b + 1], at most T = T_q = T_k of them; undefined: b T. On the CPU, without
  // first_query and first_key.
  Tensor row_starts;
  // Positions of query row 0 and key row 0 of each sample, when they are a run of a longer
  // sequence; causal: first_key <= first_query, so that every query sees a key.
  index_t first_query = 0, first_key = 0;
  // Dropout of the probabilities: entry (sample, head, i, j) is kept iff word (j mod 4) of
  // philox({j / 4, i, sample low, (sample high & 0xffff) | head << 16}, key) is below
  // keep_threshold(p); head counts over all ranks.
  double dropout = 0;
  PhiloxKey dropout_key{};
  Tensor sample_ids;       // (B) i64
  index_t first_head = 0;  // global number of this rank's head 0
};

void attention_forward(Tensor& y,
                       Tensor& lse,
                       const Tensor& q,
                       const Tensor& k,
                       const Tensor& v,
                       const AttentionSpec& spec);
// Writes dq, dk, dv (all rows; those past the length are 0).
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

// Why kernels of ours compute this although spec.kernels says otherwise; empty when they do not.
// Makes what cuDNN needs for both directions, which takes up to seconds.
std::string why_plain_attention(Device device, const AttentionSpec& spec);

// Of the device, while a pass runs, beside its arguments. On the CPU it does not count.
index_t attention_scratch_bytes(Device device, const AttentionSpec& spec, bool backward);

}  // namespace lockstep
