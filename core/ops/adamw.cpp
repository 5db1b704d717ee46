#include "core/ops/adamw.hpp"

#include "core/ops/cpu/adamw.hpp"
#include "core/ops/cuda/adamw.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {

void adamw(Tensor& value, Tensor& m, Tensor& v, const Tensor& gradient, const AdamWStep& step) {
  const auto fits = [&](const Tensor& x) {
    return x.dtype() == value.dtype() && x.device() == value.device() &&
           x.count() == value.count() && x.contiguous();
  };
  assert(fits(value) && fits(m) && fits(v) && fits(gradient) && step.t >= 1);
  LOCKSTEP_OP(value.device(), adamw(value, m, v, gradient, step));
}

}  // namespace lockstep
