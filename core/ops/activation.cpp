#include "core/ops/activation.hpp"

#include "core/ops/cpu/activation.hpp"
#include "core/ops/cuda/activation.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool alike(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.device() == b.device() && a.shape() == b.shape();
}

bool fits(const Tensor& bias, const Tensor& x) {
  return !bias.defined() || (bias.dtype() == x.dtype() && bias.device() == x.device() &&
                             bias.count() == x.columns() && bias.contiguous());
}

}  // namespace

void activation_forward(Tensor& y, const Tensor& x, const Tensor& bias, Activation activation) {
  assert(alike(y, x) && fits(bias, x));
  LOCKSTEP_OP(x.device(), activation_forward(y, x, bias, activation));
}

void activation_backward(Tensor& dx,
                         const Tensor& dy,
                         const Tensor& x,
                         const Tensor& bias,
                         Activation activation) {
  assert(alike(dx, dy) && alike(dx, x) && fits(bias, x));
  LOCKSTEP_OP(x.device(), activation_backward(dx, dy, x, bias, activation));
}

}  // namespace lockstep
