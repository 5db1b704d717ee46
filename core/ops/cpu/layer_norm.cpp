#include "core/ops/cpu/layer_norm.hpp"

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {

void layer_norm_forward(Tensor& y,
                        Tensor& mean,
                        Tensor& rstd,
                        const Tensor& x,
                        const Tensor& weight,
                        const Tensor& bias,
                        double eps) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    const T* bias_data = bias.defined() ? bias.data<T>() : nullptr;
    for_pieces(x.rows(), x.columns(), [&](index_t i) {
      kernel.layer_norm(y.data<T>() + i * y.row_stride(), mean.data<T>() + i, rstd.data<T>() + i,
                        x.data<T>() + i * x.row_stride(), weight.data<T>(), bias_data, x.columns(),
                        static_cast<T>(eps));
    });
  });
}

void layer_norm_backward_input(Tensor& dx,
                               const Tensor& dy,
                               const Tensor& x,
                               const Tensor& weight,
                               const Tensor& mean,
                               const Tensor& rstd) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(x.rows(), x.columns(), [&](index_t i) {
      kernel.layer_norm_backward(dx.data<T>() + i * dx.row_stride(), nullptr,
                                 dy.data<T>() + i * dy.row_stride(),
                                 x.data<T>() + i * x.row_stride(), weight.data<T>(),
                                 mean.data<T>()[i], rstd.data<T>()[i], x.columns());
    });
  });
}

// Threads take blocks of columns, so that each column is one sum over rows in order, kept in
// double.
void layer_norm_backward_weight(Tensor& dweight,
                                Tensor& dbias,
                                const Tensor& dy,
                                const Tensor& x,
                                const Tensor& mean,
                                const Tensor& rstd) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_column_blocks(x.columns(), x.rows(), [&](index_t first, index_t n) {
      double weight_sums[most_columns] = {}, bias_sums[most_columns] = {};
      const T* from = dy.data<T>() + first;
      kernel.add_to_weight_sums(weight_sums, from, dy.row_stride(), x.data<T>() + first,
                                x.row_stride(), mean.data<T>(), rstd.data<T>(), x.rows(), n);
      if (dbias.defined()) kernel.add_to_sums(bias_sums, from, dy.row_stride(), x.rows(), n);
      for (index_t c = 0; c < n; ++c) {
        dweight.data<T>()[first + c] += static_cast<T>(weight_sums[c]);
        if (dbias.defined()) dbias.data<T>()[first + c] += static_cast<T>(bias_sums[c]);
      }
    });
  });
}

}  // namespace lockstep::cpu
