#include "core/ops/dropout.hpp"

#include "core/ops/cpu/dropout.hpp"
#include "core/ops/cuda/dropout.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

bool alike(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.device() == b.device() && a.shape() == b.shape();
}

}  // namespace

bool covers(const DropoutSpec& spec, const Tensor& x) {
  assert(spec.probability >= 0 && spec.probability < 1);
  if (spec.probability == 0 || x.rows() == 0) return true;
  return spec.T > 0 && spec.first_row >= 0 && spec.sample_ids.dtype() == DType::i64 &&
         spec.first_row + x.rows() <= spec.T * spec.sample_ids.count();
}

void dropout_forward(Tensor& y, const Tensor& x, const DropoutSpec& spec) {
  assert(alike(y, x) && covers(spec, x));
  LOCKSTEP_OP(x.device(), dropout_forward(y, x, spec));
}

void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec) {
  assert(alike(dx, dy) && covers(spec, dy));
  LOCKSTEP_OP(dy.device(), dropout_backward(dx, dy, spec));
}

}  // namespace lockstep
