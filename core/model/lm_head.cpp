#include "core/model/lm_head.hpp"

#include <utility>

#include "core/ops/elementwise.hpp"

namespace lockstep {

MlmTransform::MlmTransform(Linear dense, Activation activation, LayerNorm norm)
    : dense_(std::move(dense)), activation_(activation), norm_(std::move(norm)) {}

Tensor MlmTransform::forward(const Tensor& x, Saved& saved, const Context& context) const {
  saved.hidden = dense_.forward_unbiased(x, saved.dense, context);
  Tensor activated = Tensor::empty(saved.hidden.shape(), x.dtype(), x.device());
  activation_forward(activated, saved.hidden, dense_.bias(), activation_);
  return norm_.forward(activated, saved.norm, context);
}

Tensor MlmTransform::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  const Tensor dactivated = norm_.backward_input(dy, saved.norm, context);
  Tensor dhidden = Tensor::empty(dactivated.shape(), dy.dtype(), dy.device());
  activation_backward(dhidden, dactivated, saved.hidden, dense_.bias(), activation_);
  saved.hidden = {};
  return dense_.backward_input(dhidden, saved.dense, context);
}

void MlmTransform::backward_weight(Saved& saved, const Context& context) const {
  norm_.backward_weight(saved.norm, context);
  dense_.backward_weight(saved.dense, context);
}

LmHead::LmHead(const ModelConfig& config, const ParameterStore& store, Group& tp, Rows rows)
    : loss_(store.get_use("embeddings.token.weight", config.layers + 1),
            store.get_if("head.decoder.bias"),
            {tp.rank() * store.get("embeddings.token.weight").value.rows(), config.vocab_size},
            0,
            tp),
      tp_(&tp),
      rows_(rows) {
  if (config.mlm_transform) {
    Parameter norm = store.get("head.norm.weight"), norm_bias = store.get_if("head.norm.bias");
    // A final norm under the same name works on shards, so its gradient is summed over tp; the
    // transform's is the same on every rank and must come from one of them.
    if (config.final_norm && rows == Rows::cut && tp.rank() != 0) {
      norm.gradient = norm.gradient.clone();
      if (norm_bias.defined()) norm_bias.gradient = norm_bias.gradient.clone();
    }
    transform_.emplace(Linear(store.get("head.transform.weight"),
                              store.get_if("head.transform.bias"), Split::none, tp),
                       config.activation, LayerNorm(norm, norm_bias, config.norm_epsilon));
  }
}

Tensor LmHead::picked(const Tensor& x,
                      const Tensor& rows,
                      MlmTransform::Saved& saved,
                      const Context& context) const {
  Tensor y = Tensor::empty({rows.count(), x.columns()}, x.dtype(), x.device());
  gather_rows(y, x, rows);
  return transform_ ? transform_->forward(y, saved, context) : y;
}

bool LmHead::leaves_parts() const { return rows_ == Rows::cut && !transform_; }

void LmHead::forward(const Batch& batch,
                     const Tensor& x,
                     Saved& saved,
                     const Context& context) const {
  saved.rows = batch.target_rows;
  loss_.forward(picked(x, batch.target_rows, saved.transform, context), batch.target_ids,
                saved.loss, context);
}

void LmHead::backward_input(Tensor& dx, Saved& saved, const Context& context) const {
  Tensor dpicked = loss_.backward_input(saved.loss, context);
  if (!leaves_parts()) tp_->all_reduce(dpicked, Reduce::sum, "head");
  if (transform_) dpicked = transform_->backward_input(dpicked, saved.transform, context);
  add_rows(dx, dpicked, saved.rows);
}

void LmHead::backward_weight(Saved& saved, const Context& context) const {
  Context picked = context;
  picked.sums.picked = saved.rows;
  loss_.backward_weight(saved.loss, picked);
  if (transform_) transform_->backward_weight(saved.transform, picked);
  saved.rows = {};
}

Tensor LmHead::logits(const Batch& batch, const Tensor& x, const Context& context) const {
  MlmTransform::Saved dropped;
  return loss_.logits(picked(x, batch.target_rows, dropped, context), context.sums);
}

}  // namespace lockstep
