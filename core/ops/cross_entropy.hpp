// Cross-entropy over a vocabulary that may be cut over ranks: loss_i = log(sum_v exp(z_iv)) -
// z_i,target. Each rank holds logits (N, V_local), the columns [first_column, first_column +
// V_local) of which only those below V are real: padded columns never take part. targets (N) i32,
// -1 = not counted. In order:
//   1. row_max (N): all-reduce max.   2. row_sum_exp, target logit (N): all-reduce sum.   3. loss
//   and gradient from those.
// Statistics are f64 for either dtype of the logits.
#pragma once

#include "core/exact_sum.hpp"
#include "core/tensor.hpp"

namespace lockstep {

struct VocabularySlice {
  index_t first_column = 0;
  index_t V = 0;  // real vocabulary over all ranks
};

// largest (N) f64; argmax (N) i64, the column (over all ranks) of the first largest, may be
// undefined. A rank without real columns gives -inf and V.
void cross_entropy_max(Tensor& largest,
                       Tensor& argmax,
                       const Tensor& logits,
                       VocabularySlice slice);
// statistics (2, N) f64: row 0 sum of exp(z - largest) over this rank's columns, row 1 the target's
// logit when it is here, else 0. The sums are trees over `shards` (a power of two) equal runs of
// this rank's columns.
void cross_entropy_statistics(Tensor& statistics,
                              const Tensor& logits,
                              const Tensor& targets,
                              const Tensor& largest,
                              VocabularySlice slice,
                              index_t shards = 1);
// limbs (4) i64 of an ExactSum += the sum over counted rows of largest + log(sum) - target.
void add_cross_entropy_loss(Tensor& limbs,
                            const Tensor& largest,
                            const Tensor& statistics,
                            const Tensor& targets);
// In place: logits become factor (softmax - onehot(target)); 0 in rows not counted and in padded
// columns.
void cross_entropy_backward(Tensor& logits,
                            const Tensor& targets,
                            const Tensor& largest,
                            const Tensor& statistics,
                            double factor,
                            VocabularySlice slice);

}  // namespace lockstep
