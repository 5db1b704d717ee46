#include "core/nn/attention.hpp"

#include <cmath>
#include <utility>

namespace lockstep {

Attention::Attention(Linear qkv, Linear output, AttentionConfig config)
    : qkv_(std::move(qkv)), output_(std::move(output)), config_(config) {
  assert(config_.heads > 0 && config_.head_size > 0);
}

AttentionSpec Attention::spec(const Context& context) const {
  AttentionSpec spec;
  spec.B = context.batch.B;
  spec.T_q = spec.T_k = context.batch.T;
  spec.heads = spec.kv_heads = config_.heads;
  spec.head_size = config_.head_size;
  spec.scale = 1.0 / std::sqrt(static_cast<double>(config_.head_size));
  spec.mask = config_.mask;
  spec.lengths = context.batch.lengths;
  spec.dropout = context.training ? config_.dropout : 0.0;
  spec.dropout_key = context.dropout_key(Site::Op::attention);
  spec.sample_ids = context.batch.sample_ids;
  spec.first_head = config_.first_head;
  return spec;
}

Tensor Attention::part(const Tensor& fused, index_t number) const {
  const index_t width = config_.heads * config_.head_size;
  return fused.column_range(number * width, width);
}

Tensor Attention::forward(const Tensor& x, Saved& saved, const Context& context) const {
  assert(x.rows() == context.batch.B * context.batch.T);
  saved.qkv = qkv_.forward(x, saved.qkv_linear, context);
  saved.attended =
      Tensor::empty({x.rows(), config_.heads * config_.head_size}, x.dtype(), x.device());
  saved.lse =
      Tensor::empty({context.batch.B, config_.heads, context.batch.T}, x.dtype(), x.device());
  attention_forward(saved.attended, saved.lse, part(saved.qkv, 0), part(saved.qkv, 1),
                    part(saved.qkv, 2), spec(context));
  return output_.forward(saved.attended, saved.output_linear, context);
}

Tensor Attention::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  const Tensor dattended = output_.backward_input(dy, saved.output_linear, context);
  Tensor dqkv = Tensor::empty(saved.qkv.shape(), dy.dtype(), dy.device());
  Tensor dq = part(dqkv, 0), dk = part(dqkv, 1), dv = part(dqkv, 2);
  attention_backward(dq, dk, dv, dattended, part(saved.qkv, 0), part(saved.qkv, 1),
                     part(saved.qkv, 2), saved.attended, saved.lse, spec(context));
  saved.qkv = saved.attended = saved.lse = {};
  return qkv_.backward_input(dqkv, saved.qkv_linear, context);
}

void Attention::backward_weight(Saved& saved, const Context& context) const {
  output_.backward_weight(saved.output_linear, context);
  qkv_.backward_weight(saved.qkv_linear, context);
}

}  // namespace lockstep
