// y = (x - mean) rstd weight + bias per row (core/ops/layer_norm). x, y (N, C), whole on every tp
// rank, as are its gradients; or with Rows::cut this rank's shard, and the gradients are its part.
#pragma once

#include "core/nn/module.hpp"
#include "core/nn/sequence_parallel.hpp"
#include "core/parameter.hpp"

namespace lockstep {

// Where a block normalises: before each branch, or after each residual sum.
enum class NormPlace { pre, post };

class LayerNorm {
 public:
  struct Saved {
    Tensor x, mean, rstd, dy;
  };

  // bias may be undefined. tp, which rows are cut over, must outlive the module.
  LayerNorm(Parameter weight, Parameter bias, double epsilon);
  LayerNorm(Parameter weight, Parameter bias, double epsilon, Group& tp, Rows rows);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  void add_fixed_gradients(const Saved& saved, const Summation& sums) const;

  Parameter weight_, bias_;
  double epsilon_;
  Group* tp_ = nullptr;  // null: rows are whole
};
static_assert(Module<LayerNorm>);

}  // namespace lockstep
