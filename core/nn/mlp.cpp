#include "core/nn/mlp.hpp"

#include <utility>

namespace lockstep {

Mlp::Mlp(Linear input, Activation activation, Linear output)
    : input_(std::move(input)), output_(std::move(output)), activation_(activation) {}

Tensor Mlp::forward(const Tensor& x, Saved& saved, const Context& context) const {
  saved.hidden = input_.forward(x, saved.input, context);
  Tensor activated = Tensor::empty(saved.hidden.shape(), x.dtype(), x.device());
  activation_forward(activated, saved.hidden, activation_);
  return output_.forward(activated, saved.output, context);
}

Tensor Mlp::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  const Tensor dactivated = output_.backward_input(dy, saved.output, context);
  Tensor dhidden = Tensor::empty(dactivated.shape(), dy.dtype(), dy.device());
  activation_backward(dhidden, dactivated, saved.hidden, activation_);
  saved.hidden = {};
  return input_.backward_input(dhidden, saved.input, context);
}

void Mlp::backward_weight(Saved& saved, const Context& context) const {
  output_.backward_weight(saved.output, context);
  input_.backward_weight(saved.input, context);
}

}  // namespace lockstep
