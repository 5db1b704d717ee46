// y = (x - mean) rstd weight + bias per row (core/ops/layer_norm). x, y (N, C); whole on every tp
// rank, as are its gradients.
#pragma once

#include "core/nn/module.hpp"
#include "core/parameter.hpp"

namespace lockstep {

// Where a block normalises: before each branch, or after each residual sum.
enum class NormPlace { pre, post };

class LayerNorm {
 public:
  struct Saved {
    Tensor x, mean, rstd, dy;
  };

  LayerNorm(Parameter weight, Parameter bias, double epsilon);  // bias may be undefined

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  Parameter weight_, bias_;
  double epsilon_;
};
static_assert(Module<LayerNorm>);

}  // namespace lockstep
