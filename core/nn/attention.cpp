#include "core/nn/attention.hpp"

#include <cmath>
#include <utility>

#include "core/nn/head_exchange.hpp"
#include "core/nn/ring_attention.hpp"

namespace lockstep {

Attention::Attention(Linear qkv, Linear output, AttentionConfig config, Group& cp, Core core)
    : qkv_(std::move(qkv)), output_(std::move(output)), config_(config), cp_(&cp), core_(core) {
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
  spec.kernels = config_.kernels;
  spec.lengths = context.batch.lengths;
  spec.row_starts = context.batch.row_starts;
  spec.dropout = context.training ? config_.dropout : 0.0;
  spec.dropout_key = context.dropout_key(Site::Op::attention);
  spec.sample_ids = context.batch.sample_ids;
  spec.first_head = config_.first_head;
  return spec;
}

// The ring adds up what a query sees in an order that its rank decides.
bool Attention::exchanges_heads(const Context& context) const {
  return context.sums.fixed && cp_->size() > 1;
}

Tensor Attention::attend(Saved& saved, const Context& context) const {
  const Tensor& qkv = saved.qkv;
  const BatchView& batch = context.batch;
  if (exchanges_heads(context)) {
    return exchanged_attention_forward(saved.attended, saved.lse, qkv, spec(context), batch.cut,
                                       *cp_);
  }
  saved.attended = Tensor::empty({qkv.rows(), qkv.columns() / 3}, qkv.dtype(), qkv.device());
  saved.lse = Tensor::empty({batch.rows() * config_.heads}, qkv.dtype(), qkv.device());
  ring_attention_forward(saved.attended, saved.lse, qkv, spec(context), batch.cut, *cp_);
  return saved.attended;
}

Tensor Attention::forward(const Tensor& x, Saved& saved, const Context& context) const {
  return output_.biased(forward_unbiased(x, saved, context));
}

Tensor Attention::forward_unbiased(const Tensor& x, Saved& saved, const Context& context) const {
  saved.qkv = qkv_.forward(x, saved.qkv_linear, context);
  assert(saved.qkv.rows() == context.batch.rows());
  const Tensor y = output_.forward_unbiased(attend(saved, context), saved.output_linear, context);
  if (core_ == Core::recomputed) saved.attended = saved.lse = saved.output_linear.x = {};
  return y;
}

Tensor Attention::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  if (core_ == Core::recomputed) {
    saved.output_linear.x = output_.operand(attend(saved, context));
  }
  const Tensor dattended = output_.backward_input(dy, saved.output_linear, context);
  Tensor dqkv;
  if (exchanges_heads(context)) {
    dqkv = exchanged_attention_backward(dattended, saved.qkv, saved.attended, saved.lse,
                                        spec(context), context.batch.cut, *cp_);
  } else {
    dqkv = Tensor::empty(saved.qkv.shape(), dy.dtype(), dy.device());
    ring_attention_backward(dqkv, dattended, saved.qkv, saved.attended, saved.lse, spec(context),
                            context.batch.cut, *cp_);
  }
  saved.qkv = saved.attended = saved.lse = {};
  return qkv_.backward_input(dqkv, saved.qkv_linear, context);
}

void Attention::backward_weight(Saved& saved, const Context& context) const {
  output_.backward_weight(saved.output_linear, context);
  qkv_.backward_weight(saved.qkv_linear, context);
}

}  // namespace lockstep
