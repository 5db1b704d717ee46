#include "core/nn/mlp.hpp"

#include <utility>

namespace lockstep {

Mlp::Mlp(Linear input, Activation activation, Linear output, bool gelu_in_products)
    : input_(std::move(input)),
      output_(std::move(output)),
      activation_(activation),
      gelu_in_products_(gelu_in_products) {
  assert(!gelu_in_products || activation == Activation::gelu_tanh);
}

// Sums in a fixed order have a product of their own.
bool Mlp::in_products(const Context& context) const {
  return gelu_in_products_ && !context.sums.fixed;
}

Tensor Mlp::activated(const Tensor& x, Saved& saved, const Context& context) const {
  if (in_products(context)) return input_.forward_gelu(x, saved.hidden, saved.input);
  saved.hidden = input_.forward_unbiased(x, saved.input, context);
  Tensor y = Tensor::empty(saved.hidden.shape(), x.dtype(), x.device());
  activation_forward(y, saved.hidden, input_.bias(), activation_);
  return y;
}

Tensor Mlp::forward(const Tensor& x, Saved& saved, const Context& context) const {
  return output_.biased(forward_unbiased(x, saved, context));
}

Tensor Mlp::forward_unbiased(const Tensor& x, Saved& saved, const Context& context) const {
  return output_.forward_unbiased(activated(x, saved, context), saved.output, context);
}

Tensor Mlp::backward_input(const Tensor& dy, Saved& saved, const Context& context) const {
  Tensor dhidden;
  if (in_products(context)) {
    dhidden = output_.backward_gelu(dy, saved.hidden, saved.output);
  } else {
    const Tensor dactivated = output_.backward_input(dy, saved.output, context);
    dhidden = Tensor::empty(dactivated.shape(), dy.dtype(), dy.device());
    activation_backward(dhidden, dactivated, saved.hidden, input_.bias(), activation_);
  }
  saved.hidden = {};
  return input_.backward_input(dhidden, saved.input, context);
}

void Mlp::backward_weight(Saved& saved, const Context& context) const {
  output_.backward_weight(saved.output, context);
  input_.backward_weight(saved.input, context);
}

}  // namespace lockstep
