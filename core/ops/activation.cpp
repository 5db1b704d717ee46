#include "core/ops/activation.hpp"

#include "core/ops/cpu/activation.hpp"
#include "core/ops/cuda/activation.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool alike(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.device() == b.device() && a.shape() == b.shape();
}

}  // namespace

void activation_forward(Tensor& y, const Tensor& x, Activation activation) {
  assert(alike(y, x));
  LOCKSTEP_OP(x.device(), activation_forward(y, x, activation));
}

void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& x, Activation activation) {
  assert(alike(dx, dy) && alike(dx, x));
  LOCKSTEP_OP(x.device(), activation_backward(dx, dy, x, activation));
}

}  // namespace lockstep
