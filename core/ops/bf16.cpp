#include "core/ops/bf16.hpp"

#include "core/ops/cpu/bf16.hpp"
#include "core/ops/cuda/bf16.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {

void round_to_bf16(Tensor& to, const Tensor& from) {
  assert(to.dtype() == DType::bf16 && from.dtype() == DType::f32 && to.shape() == from.shape());
  assert(to.device() == from.device());
  LOCKSTEP_OP(from.device(), round_to_bf16(to, from));
}

void widen_bf16(Tensor& to, const Tensor& from) {
  assert(to.dtype() == DType::f32 && from.dtype() == DType::bf16 && to.shape() == from.shape());
  assert(to.device() == from.device());
  LOCKSTEP_OP(from.device(), widen_bf16(to, from));
}

Tensor widened(const Tensor& x) {
  if (x.dtype() != DType::bf16) return x;
  Tensor wide = Tensor::empty(x.shape(), DType::f32, x.device());
  widen_bf16(wide, x);
  return wide;
}

}  // namespace lockstep
