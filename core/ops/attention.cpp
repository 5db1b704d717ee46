#include "core/ops/attention.hpp"

#include <algorithm>

#include "core/ops/cpu/attention.hpp"
#include "core/ops/cuda/attention.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace cpu {
namespace {

std::string why_plain_attention(Device, const AttentionSpec&) {
  return "cuDNN computes on GPUs only";
}

index_t attention_scratch_bytes(Device, const AttentionSpec&, bool) { return 0; }

}  // namespace
}  // namespace cpu

namespace {

bool is_rows(const Tensor& x, index_t rows, const AttentionSpec& spec, const Tensor& like) {
  const index_t C = spec.heads * spec.head_size;
  return x.dtype() == like.dtype() && x.device() == like.device() && x.columns() == C &&
         (C == 0 || x.rows() == rows);
}

bool is_vector(const Tensor& v, DType dtype, index_t n) {
  return v.dtype() == dtype && v.count() == n && v.contiguous();
}

index_t rows_of(const AttentionSpec& spec, index_t T) {
  return spec.row_starts.defined() ? spec.row_starts.data<std::int64_t>()[spec.B] : spec.B * T;
}

bool lawful(const AttentionSpec& spec) {
  return spec.kv_heads == spec.heads && spec.dropout >= 0 && spec.dropout < 1 &&
         spec.first_query >= 0 && spec.first_key >= 0 &&
         (spec.mask != Mask::causal || spec.first_key <= spec.first_query) &&
         (!spec.lengths.defined() || is_vector(spec.lengths, DType::i32, spec.B)) &&
         (!spec.row_starts.defined() ||
          (is_vector(spec.row_starts, DType::i64, spec.B + 1) && spec.T_q == spec.T_k &&
           spec.first_query == 0 && spec.first_key == 0)) &&
         (spec.dropout == 0 || is_vector(spec.sample_ids, DType::i64, spec.B));
}

// Of so many products of a pair of a query and a key that sees it.
double flops(const AttentionSpec& spec, int products) {
  const index_t ahead = spec.first_query - spec.first_key;
  double pairs = 0;
  for (index_t b = 0; b < spec.B; ++b) {
    index_t T_q = spec.T_q, T_k = spec.T_k;
    if (spec.lengths.defined() && spec.lengths.device().kind == Device::Kind::cpu) {
      const index_t length = spec.lengths.data<std::int32_t>()[b];
      T_q = std::clamp<index_t>(length - spec.first_query, 0, T_q);
      T_k = std::clamp<index_t>(length - spec.first_key, 0, T_k);
    }
    for (index_t i = 0; i < T_q; ++i)
      pairs += static_cast<double>(spec.mask == Mask::full ? T_k : std::min(T_k, ahead + i + 1));
  }
  return 2.0 * products * pairs * static_cast<double>(spec.heads * spec.head_size);
}

}  // namespace

void attention_forward(Tensor& y,
                       Tensor& lse,
                       const Tensor& q,
                       const Tensor& k,
                       const Tensor& v,
                       const AttentionSpec& spec) {
  assert(lawful(spec));
  assert(is_rows(y, rows_of(spec, spec.T_q), spec, q) &&
         is_rows(q, rows_of(spec, spec.T_q), spec, q));
  assert(is_rows(k, rows_of(spec, spec.T_k), spec, q) &&
         is_rows(v, rows_of(spec, spec.T_k), spec, q));
  assert(is_vector(lse, q.dtype(), spec.heads * rows_of(spec, spec.T_q)));
  LOCKSTEP_OP_OF(flops(spec, 2), q.device(), attention_forward(y, lse, q, k, v, spec));
}

void attention_backward(Tensor& dq,
                        Tensor& dk,
                        Tensor& dv,
                        const Tensor& dy,
                        const Tensor& q,
                        const Tensor& k,
                        const Tensor& v,
                        const Tensor& y,
                        const Tensor& lse,
                        const AttentionSpec& spec) {
  assert(lawful(spec));
  assert(is_rows(dq, rows_of(spec, spec.T_q), spec, q) &&
         is_rows(dy, rows_of(spec, spec.T_q), spec, q));
  assert(is_rows(q, rows_of(spec, spec.T_q), spec, q) &&
         is_rows(y, rows_of(spec, spec.T_q), spec, q));
  assert(is_rows(dk, rows_of(spec, spec.T_k), spec, q) &&
         is_rows(dv, rows_of(spec, spec.T_k), spec, q));
  assert(is_rows(k, rows_of(spec, spec.T_k), spec, q) &&
         is_rows(v, rows_of(spec, spec.T_k), spec, q));
  assert(is_vector(lse, q.dtype(), spec.heads * rows_of(spec, spec.T_q)));
  LOCKSTEP_OP_OF(flops(spec, 5), q.device(),
                 attention_backward(dq, dk, dv, dy, q, k, v, y, lse, spec));
}

std::string why_plain_attention(Device device, const AttentionSpec& spec) {
  assert(lawful(spec));
  return LOCKSTEP_DISPATCH(device, why_plain_attention(device, spec));
}

index_t attention_scratch_bytes(Device device, const AttentionSpec& spec, bool backward) {
  assert(lawful(spec));
  return LOCKSTEP_DISPATCH(device, attention_scratch_bytes(device, spec, backward));
}

}  // namespace lockstep
