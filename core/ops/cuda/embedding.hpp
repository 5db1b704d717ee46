#pragma once

#include "core/ops/embedding.hpp"

namespace lockstep::cuda {

void embedding_forward(Tensor& y,
                       const Tensor& ids,
                       const Tensor& table,
                       index_t first_row,
                       Accumulate accumulate);
void embedding_backward(Tensor& dtable, const Tensor& dy, const Tensor& ids, index_t first_row);

}  // namespace lockstep::cuda
