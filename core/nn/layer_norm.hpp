// y = (x - mean) rstd weight + bias per row (core/ops/layer_norm). x, y (N, C), whole on every tp
// rank, as are its gradients; or a shard of rows cut over tp, and the gradients are its part.
// Of a residual sum it is one with the sum (core/ops/residual).
#pragma once

#include "core/footprint.hpp"
#include "core/nn/dropout.hpp"
#include "core/nn/module.hpp"
#include "core/parameter.hpp"

namespace lockstep {

class Group;

// Where a block normalises: before each branch, or after each residual sum.
enum class NormPlace { pre, post };

class LayerNorm {
 public:
  struct Saved {
    Tensor x, mean, rstd, dy;

    void add_to(Footprint& footprint) const { footprint.add(x, mean, rstd, dy); }
  };

  // bias may be undefined. tp: whom rows are cut over, must outlive the module; null: rows are
  // whole.
  LayerNorm(Parameter weight, Parameter bias, double epsilon, Group* tp = nullptr);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  // Makes residual + dropped (branch + bias) of `branch` and returns its norm; bias may be
  // undefined.
  Tensor forward_sum(Tensor& branch,
                     const Tensor& bias,
                     const Tensor& residual,
                     DropoutSite dropout,
                     Saved& saved,
                     const Context& context) const;
  // dx + other: of a sum that goes elsewhere too.
  Tensor backward_input(const Tensor& dy,
                        const Tensor& other,
                        Saved& saved,
                        const Context& context) const;
  struct SumGradients {
    Tensor residual, branch;  // (N, C), one tensor when nothing is dropped
  };
  // The same of the sum that forward_sum made; other may be undefined.
  SumGradients backward_sum(const Tensor& dy,
                            const Tensor& other,
                            DropoutSite dropout,
                            Saved& saved,
                            const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  Tensor prepare(const Tensor& x, Saved& saved) const;  // an empty y
  void add_fixed_gradients(const Saved& saved, const Context& context) const;

  Parameter weight_, bias_;
  double epsilon_;
  Group* tp_;
};
static_assert(Module<LayerNorm>);

}  // namespace lockstep
