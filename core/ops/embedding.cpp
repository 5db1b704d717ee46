#include "core/ops/embedding.hpp"

#include "core/ops/cpu/embedding.hpp"
#include "core/ops/cuda/embedding.hpp"
#include "core/ops/dispatch.hpp"

namespace lockstep {
namespace {

// ids (N) i32, rows (N, C) beside table (V_local, C).
bool fits(const Tensor& rows, const Tensor& ids, const Tensor& table) {
  return ids.dtype() == DType::i32 && ids.contiguous() && ids.device() == table.device() &&
         rows.dtype() == table.dtype() && rows.device() == table.device() &&
         rows.columns() == table.columns() && rows.rows() == ids.count();
}

}  // namespace

void embedding_forward(Tensor& y,
                       const Tensor& ids,
                       const Tensor& table,
                       index_t first_row,
                       Accumulate accumulate) {
  assert(fits(y, ids, table) && first_row >= 0);
  LOCKSTEP_OP(table.device(), embedding_forward(y, ids, table, first_row, accumulate));
}

void embedding_backward(Tensor& dtable, const Tensor& dy, const Tensor& ids, index_t first_row) {
  assert(fits(dy, ids, dtable) && first_row >= 0);
  LOCKSTEP_OP(dy.device(), embedding_backward(dtable, dy, ids, first_row));
}

}  // namespace lockstep
