#include "core/model/head.hpp"

#include <cassert>
#include <utility>

namespace lockstep {

Head::Head(const ModelConfig& config, const ParameterStore& store, Group& tp, Rows rows)
    : lm_(config, store, tp, rows),
      tp_(&tp),
      rows_(rows),
      width_(config.width),
      dtype_(store.values().dtype()),
      device_(store.values().device()) {
  if (config.final_norm) {
    norm_.emplace(store.get("head.norm.weight"), store.get_if("head.norm.bias"),
                  config.norm_epsilon, rows == Rows::cut ? &tp : nullptr);
  }
  if (config.objective == Objective::mlm_nsp) nsp_.emplace(store);
  assert(!nsp_ || !lm_.leaves_parts());  // the parts would be summed with a whole
}

void Head::forward(const Batch& batch,
                   const Tensor& x,
                   Saved& saved,
                   const Context& context) const {
  Tensor normed = norm_ ? norm_->forward(x, saved.norm, context) : x;
  if (rows_ == Rows::cut) normed = gather_shards(normed, *tp_, "head");
  context.observe({ProbePoint::head, "head norm", false}, normed);
  lm_.forward(batch, normed, saved.lm, context);
  if (nsp_) nsp_->forward(batch, normed, saved.nsp, context);
}

Tensor Head::backward_input(const Batch& batch, Saved& saved, const Context& context) const {
  // Rows that nothing predicts from get no gradient.
  Tensor dx = Tensor::zeros({batch.rows(), width_}, dtype_, device_);
  lm_.backward_input(dx, saved.lm, context);
  if (nsp_) nsp_->backward_input(dx, saved.nsp, context);
  if (lm_.leaves_parts()) {
    dx = sum_to_shards(std::move(dx), *tp_, "head");
  } else if (rows_ == Rows::cut) {
    dx = own_shard(dx, *tp_);
  }
  context.observe({ProbePoint::head, "head", true}, dx);
  return norm_ ? norm_->backward_input(dx, saved.norm, context) : dx;
}

void Head::backward_weight(Saved& saved, const Context& context) const {
  lm_.backward_weight(saved.lm, context);
  if (nsp_) nsp_->backward_weight(saved.nsp, context);
  if (norm_) norm_->backward_weight(saved.norm, context);
}

Tensor Head::logits(const Batch& batch, const Tensor& x, const Context& context) const {
  LayerNorm::Saved dropped;
  return lm_.logits(batch, norm_ ? norm_->forward(x, dropped, context) : x, context);
}

}  // namespace lockstep
