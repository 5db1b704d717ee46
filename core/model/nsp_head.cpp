#include "core/model/nsp_head.hpp"

#include <utility>

#include "core/ops/elementwise.hpp"

namespace lockstep {
namespace {

// Of each sample whose position 0 is on this rank: of all, or of none.
Tensor first_rows(const Batch& batch) {
  Tensor rows = Tensor::empty({batch.labels.count()}, DType::i32);
  const index_t S = batch.cut.chunk_length(batch.T);
  for (index_t b = 0; b < rows.count(); ++b) {
    const index_t row = batch.row_starts.defined() ? batch.view().first_row(b) : b * S;
    rows.data<std::int32_t>()[b] = static_cast<std::int32_t>(row);
  }
  return rows.to(batch.tokens.device());
}

}  // namespace

NspHead::NspHead(const ParameterStore& store)
    : alone_(std::make_unique<LocalGroup>()),
      pooler_(store.get("pooler.weight"), store.get_if("pooler.bias"), Split::none, *alone_),
      classifier_(store.get("nsp.weight"), store.get_if("nsp.bias"), Split::none, *alone_),
      loss_({0, 2}, 1, *alone_) {}

void NspHead::forward(const Batch& batch,
                      const Tensor& x,
                      Saved& saved,
                      const Context& context) const {
  saved.rows = first_rows(batch);
  Tensor first = Tensor::empty({saved.rows.count(), x.columns()}, x.dtype(), x.device());
  gather_rows(first, x, saved.rows);
  const Tensor dense = pooler_.forward(first, saved.pooler, context);
  saved.pooled = Tensor::empty(dense.shape(), x.dtype(), x.device());
  tanh_forward(saved.pooled, dense);
  saved.logits = classifier_.forward(saved.pooled, saved.classifier, context);
  Context uncut = context;
  uncut.sums.tensor_shards = 1;
  loss_.forward(saved.logits, batch.labels, saved.loss, uncut);
}

void NspHead::backward_input(Tensor& dx, Saved& saved, const Context& context) const {
  Tensor dlogits = std::exchange(saved.logits, {});
  loss_.backward(dlogits, saved.loss, context);
  const Tensor dpooled = classifier_.backward_input(dlogits, saved.classifier, context);
  Tensor ddense = Tensor::empty(dpooled.shape(), dx.dtype(), dx.device());
  tanh_backward(ddense, dpooled, saved.pooled);
  add_rows(dx, pooler_.backward_input(ddense, saved.pooler, context), saved.rows);
}

void NspHead::backward_weight(Saved& saved, const Context& context) const {
  Context picked = context;
  picked.sums.picked = saved.rows;
  classifier_.backward_weight(saved.classifier, picked);
  pooler_.backward_weight(saved.pooler, picked);
  saved = {};
}

}  // namespace lockstep
