#include "core/ops/attention.hpp"

#include "core/ops/cpu/attention.hpp"
#include "core/ops/cuda/attention.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
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
  LOCKSTEP_DISPATCH(q.device(), attention_forward(y, lse, q, k, v, spec));
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
  LOCKSTEP_DISPATCH(q.device(), attention_backward(dq, dk, dv, dy, q, k, v, y, lse, spec));
}

}  // namespace lockstep
