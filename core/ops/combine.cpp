#include "core/ops/combine.hpp"

#include "core/ops/cpu/combine.hpp"
#include "core/ops/cuda/combine.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {

void combine(Tensor& into, const Tensor& x, Reduce reduce) {
  assert(into.dtype() == x.dtype() && into.count() == x.count() && into.device() == x.device());
  assert(into.contiguous() && x.contiguous());
  LOCKSTEP_OP(into.device(), combine(into, x, reduce));
}

}  // namespace lockstep
