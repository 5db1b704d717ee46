#include "core/nn/layer_norm.hpp"

#include <utility>

#include "core/ops/layer_norm.hpp"

namespace lockstep {

LayerNorm::LayerNorm(Parameter weight, Parameter bias, double epsilon)
    : weight_(std::move(weight)), bias_(std::move(bias)), epsilon_(epsilon) {
  assert(weight_.defined());
}

Tensor LayerNorm::forward(const Tensor& x, Saved& saved, const Context&) const {
  saved.x = x;
  saved.mean = Tensor::empty({x.rows()}, x.dtype(), x.device());
  saved.rstd = Tensor::empty({x.rows()}, x.dtype(), x.device());
  Tensor y = Tensor::empty(x.shape(), x.dtype(), x.device());
  layer_norm_forward(y, saved.mean, saved.rstd, x, weight_.value, bias_.value, epsilon_);
  return y;
}

Tensor LayerNorm::backward_input(const Tensor& dy, Saved& saved, const Context&) const {
  saved.dy = dy;
  Tensor dx = Tensor::empty(dy.shape(), dy.dtype(), dy.device());
  layer_norm_backward_input(dx, dy, saved.x, weight_.value, saved.mean, saved.rstd);
  return dx;
}

void LayerNorm::backward_weight(Saved& saved, const Context&) const {
  Tensor dweight = weight_.gradient, dbias = bias_.gradient;
  layer_norm_backward_weight(dweight, dbias, saved.dy, saved.x, saved.mean, saved.rstd);
  saved = {};
}

}  // namespace lockstep
