// The last position of the plan: x (N, C) -> loss terms.
// [final norm] -> LmHead, and NspHead for mlm_nsp; dx is their sum. With Rows::cut x and dx are
// shards: normed, then gathered, because targets may be in any row.
#pragma once

#include <optional>

#include "core/footprint.hpp"
#include "core/model/lm_head.hpp"
#include "core/model/nsp_head.hpp"

namespace lockstep {

class Head {
 public:
  struct Saved {
    LayerNorm::Saved norm;
    LmHead::Saved lm;
    NspHead::Saved nsp;

    void add_to(Footprint& footprint) const { footprint.add(norm, lm, nsp); }
  };

  Head(const ModelConfig& config, const ParameterStore& store, Group& tp, Rows rows);

  void forward(const Batch& batch, const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Batch& batch, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;
  Tensor logits(const Batch& batch, const Tensor& x, const Context& context) const;

 private:
  std::optional<LayerNorm> norm_;
  LmHead lm_;
  std::optional<NspHead> nsp_;
  Group* tp_;
  Rows rows_;
  index_t width_;
  DType dtype_;
  Device device_;
};

}  // namespace lockstep
