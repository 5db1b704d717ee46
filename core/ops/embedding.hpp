// y[i] += or = table[ids[i] - first_row] where ids[i] lies in this table's rows [first_row,
// first_row + V_local), 0 elsewhere. ids (N) i32, table (V_local, C), y (N, C).
#pragma once

#include "core/ops/gemm.hpp"
#include "core/tensor.hpp"

namespace lockstep {

void embedding_forward(Tensor& y,
                       const Tensor& ids,
                       const Tensor& table,
                       index_t first_row,
                       Accumulate accumulate);
// dtable[ids[i] - first_row] += dy[i], in order of i for each row.
void embedding_backward(Tensor& dtable, const Tensor& dy, const Tensor& ids, index_t first_row);

}  // namespace lockstep
