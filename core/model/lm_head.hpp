// Predicts tokens, the next one (causal) or masked ones; term 0 of the loss.
// rows picked by the batch (n, C) -> [transform] -> tied decoder -> cross-entropy.
// The transform is BERT's; it runs on the picked rows only and is whole on every tp rank. The
// decoder is the token table, cut over the vocabulary, with a bias of its own after a transform.
// Each tp rank's dx is the part of its columns; the parts are summed here, but for Rows::cut
// without a transform, where the sum may go to shards at once.
#pragma once

#include <optional>

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/model/batch.hpp"
#include "core/model/config.hpp"
#include "core/model/parameter_table.hpp"
#include "core/nn/layer_norm.hpp"
#include "core/nn/linear.hpp"
#include "core/nn/losses.hpp"

namespace lockstep {

// y = norm(act(x W^T + b)).   x, y (n, C)
class MlmTransform {
 public:
  struct Saved {
    Linear::Saved dense;
    LayerNorm::Saved norm;
    Tensor hidden;  // before the activation

    void add_to(Footprint& footprint) const { footprint.add(dense, norm, hidden); }
  };

  MlmTransform(Linear dense, Activation activation, LayerNorm norm);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  Linear dense_;
  Activation activation_;
  LayerNorm norm_;
};
static_assert(Module<MlmTransform>);

class LmHead {
 public:
  struct Saved {
    Tensor rows;
    MlmTransform::Saved transform;
    VocabularyLoss::Saved loss;

    // rows are the batch's.
    void add_to(Footprint& footprint) const { footprint.add(transform, loss); }
  };

  LmHead(const ModelConfig& config, const ParameterStore& store, Group& tp, Rows rows);

  bool leaves_parts() const;  // backward_input's dx is still to be summed over tp

  void forward(const Batch& batch, const Tensor& x, Saved& saved, const Context& context) const;
  // Adds into dx (N, C).
  void backward_input(Tensor& dx, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;
  Tensor logits(const Batch& batch, const Tensor& x, const Context& context) const;

 private:
  Tensor picked(const Tensor& x,
                const Tensor& rows,
                MlmTransform::Saved& saved,
                const Context& context) const;

  std::optional<MlmTransform> transform_;
  VocabularyLoss loss_;
  Group* tp_;
  Rows rows_;
};

}  // namespace lockstep
