#include "core/model/front.hpp"

namespace lockstep {
namespace {

Embedding::Tables tables(const ModelConfig& config, const ParameterStore& store, const Group& tp) {
  Embedding::Tables tables;
  tables.token = store.get_use("embeddings.token.weight", 0);
  tables.first_token = tp.rank() * tables.token.value.rows();
  if (config.positions == Positions::learned) {
    tables.position = store.get("embeddings.position.weight");
  } else {
    const Tensor& token = tables.token.value;
    tables.position.value =
        sinusoidal_positions(config.max_positions, config.width, token.dtype()).to(token.device());
  }
  tables.segment = store.get_if("embeddings.segment.weight");
  return tables;
}

}  // namespace

Front::Front(const ModelConfig& config, const ParameterStore& store, Group& tp, Rows rows)
    : embedding_(tables(config, store, tp), tp, rows),
      dropout_{Site::Op::embedding, config.dropout} {
  if (config.embedding_norm) {
    norm_.emplace(store.get("embeddings.norm.weight"), store.get_if("embeddings.norm.bias"),
                  config.norm_epsilon, rows == Rows::cut ? &tp : nullptr);
  }
}

Tensor Front::forward(const Batch& batch, Saved& saved, const Context& context) const {
  Tensor x = embedding_.forward(batch.tokens, batch.segments, saved.embedding, context);
  if (norm_) x = norm_->forward(x, saved.norm, context);
  dropout_forward(x, x, dropout_, context);
  context.observe({ProbePoint::front, "embedding", false}, x);
  return x;
}

void Front::backward_input(const Tensor& dx, Saved& saved, const Context& context) const {
  Tensor dsum = dx;
  if (dropout_.probability > 0) {
    dsum = Tensor::empty(dx.shape(), dx.dtype(), dx.device());
    dropout_backward(dsum, dx, dropout_, context);
  }
  if (norm_) dsum = norm_->backward_input(dsum, saved.norm, context);
  embedding_.backward_input(dsum, saved.embedding);
}

void Front::backward_weight(Saved& saved, const Context& context) const {
  if (norm_) norm_->backward_weight(saved.norm, context);
  embedding_.backward_weight(saved.embedding, context);
}

}  // namespace lockstep
