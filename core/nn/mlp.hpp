// y = output(act(input(x))).   x, y (N, C)  hidden (N, F_local).
// input cuts F by columns, output by rows: the activation in between needs no communication.
#pragma once

#include "core/footprint.hpp"
#include "core/nn/linear.hpp"
#include "core/ops/activation.hpp"

namespace lockstep {

class Mlp {
 public:
  struct Saved {
    Linear::Saved input, output;
    Tensor hidden;  // before the activation; its bias is in it where the product does both

    void add_to(Footprint& footprint) const { footprint.add(input, output, hidden); }
  };

  // gelu_in_products: where the device can, input's product ends with bias and activation, and
  // output's gradient with the activation's; for gelu_tanh.
  Mlp(Linear input, Activation activation, Linear output, bool gelu_in_products = false);

  Tensor forward(const Tensor& x, Saved& saved, const Context& context) const;
  // Without output's bias.
  Tensor forward_unbiased(const Tensor& x, Saved& saved, const Context& context) const;
  const Tensor& bias() const { return output_.bias(); }  // may be undefined
  Tensor backward_input(const Tensor& dy, Saved& saved, const Context& context) const;
  void backward_weight(Saved& saved, const Context& context) const;

 private:
  bool in_products(const Context& context) const;
  Tensor activated(const Tensor& x, Saved& saved, const Context& context) const;

  Linear input_, output_;
  Activation activation_;
  bool gelu_in_products_;
};
static_assert(Module<Mlp>);

}  // namespace lockstep
