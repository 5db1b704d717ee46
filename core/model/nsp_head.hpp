// Next-sentence prediction (Devlin et al. 2019); term 1 of the loss.
// first token's row (B, C) -> tanh(pooler) -> classifier (B, 2) -> cross-entropy with labels.
// Whole on every tp rank: no communication. With sequences cut over cp, on the rank of position 0.
#pragma once

#include <memory>

#include "core/footprint.hpp"
#include "core/group.hpp"
#include "core/model/batch.hpp"
#include "core/model/parameter_table.hpp"
#include "core/nn/linear.hpp"
#include "core/nn/losses.hpp"

namespace lockstep {

class NspHead {
 public:
  struct Saved {
    Tensor rows, pooled, logits;  // logits become their own gradient in backward_input
    Linear::Saved pooler, classifier;
    CrossEntropy::Saved loss;

    void add_to(Footprint& footprint) const {
      footprint.add(rows, pooled, logits, pooler, classifier, loss);
    }
  };

  explicit NspHead(const ParameterStore& store);

  void forward(const Batch& batch, const Tensor& x, Saved& saved, const Context& context) const;
  // Adds into dx (N, C).
  void backward_input(Tensor& dx, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  std::unique_ptr<Group> alone_;  // a rank has all columns itself
  Linear pooler_, classifier_;
  CrossEntropy loss_;
};

}  // namespace lockstep
