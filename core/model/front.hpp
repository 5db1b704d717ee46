// The first position of the plan: Batch -> x (N, C), or this rank's shard of its rows.
// x = drop(norm(embedding)); the norm is BERT's, absent in GPT.
#pragma once

#include <optional>

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/model/batch.hpp"
#include "core/model/config.hpp"
#include "core/model/parameter_table.hpp"
#include "core/nn/dropout.hpp"
#include "core/nn/embedding.hpp"
#include "core/nn/layer_norm.hpp"

namespace lockstep {

class Front {
 public:
  struct Saved {
    Embedding::Saved embedding;
    LayerNorm::Saved norm;

    void add_to(Footprint& footprint) const { footprint.add(embedding, norm); }
  };

  Front(const ModelConfig& config, const ParameterStore& store, Group& tp, Rows rows);

  Tensor forward(const Batch& batch, Saved& saved, const Context& context) const;
  void backward_input(const Tensor& dx, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  Embedding embedding_;
  std::optional<LayerNorm> norm_;
  DropoutSite dropout_;
};

}  // namespace lockstep
