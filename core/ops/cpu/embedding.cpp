#include "core/ops/cpu/embedding.hpp"

#include <algorithm>

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {

void embedding_forward(Tensor& y,
                       const Tensor& ids,
                       const Tensor& table,
                       index_t first_row,
                       Accumulate accumulate) {
  const std::int32_t* id = ids.data<std::int32_t>();
  const index_t C = table.columns();
  with_type(table.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(y.rows(), C, [&](index_t i) {
      const index_t row = id[i] - first_row;
      T* to = y.data<T>() + i * y.row_stride();
      const bool here = row >= 0 && row < table.rows();
      if (here && accumulate == Accumulate::yes) {
        kernel.add(to, to, table.data<T>() + row * table.row_stride(), C);
      } else if (here) {
        std::copy_n(table.data<T>() + row * table.row_stride(), C, to);
      } else if (accumulate == Accumulate::no) {
        std::fill_n(to, C, T{0});
      }
    });
  });
}

// Threads take blocks of columns: ids repeat, and each table row adds its tokens in order.
void embedding_backward(Tensor& dtable, const Tensor& dy, const Tensor& ids, index_t first_row) {
  const std::int32_t* id = ids.data<std::int32_t>();
  with_type(dy.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_column_blocks(dy.columns(), dy.rows(), [&](index_t first, index_t n) {
      for (index_t i = 0; i < dy.rows(); ++i) {
        const index_t row = id[i] - first_row;
        if (row < 0 || row >= dtable.rows()) continue;
        T* to = dtable.data<T>() + row * dtable.row_stride() + first;
        kernel.add(to, to, dy.data<T>() + i * dy.row_stride() + first, n);
      }
    });
  });
}

}  // namespace lockstep::cpu
