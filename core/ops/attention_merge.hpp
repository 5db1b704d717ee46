// Joins attention over two sets of keys. With o and l the output and the log of the sum of
// exponentials over one set, p and m over the other, the whole has
//   lse = log(e^l + e^m),   y = o e^(l - lse) + p e^(m - lse)
// Shapes and the spec (whose key run is that of the part) as in core/ops/attention.hpp.
#pragma once

#include "core/ops/attention.hpp"

namespace lockstep {

// y and lse, so far over other keys, get those of the part. Samples without keys in the part keep
// what they have.
void attention_merge(Tensor& y,
                     Tensor& lse,
                     const Tensor& y_part,
                     const Tensor& lse_part,
                     const AttentionSpec& spec);

}  // namespace lockstep
