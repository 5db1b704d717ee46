#include "core/ops/attention_merge.hpp"

#include <cassert>

#include "core/ops/cpu/attention_merge.hpp"
#include "core/ops/cuda/attention_merge.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {

void attention_merge(Tensor& y,
                     Tensor& lse,
                     const Tensor& y_part,
                     const Tensor& lse_part,
                     const AttentionSpec& spec) {
  assert(y.shape() == y_part.shape() && lse.count() == lse_part.count());
  assert(lse.count() == spec.B * spec.heads * spec.T_q && lse.dtype() == y.dtype());
  LOCKSTEP_OP(y.device(), attention_merge(y, lse, y_part, lse_part, spec));
}

}  // namespace lockstep
