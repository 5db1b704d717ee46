#include "core/ops/cpu/residual.hpp"

#include <algorithm>

#include "core/ops/cpu/dropout_rows.hpp"
#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

template <typename T>
T* row_of(Tensor& x, index_t i) {
  return x.data<T>() + i * x.row_stride();
}
template <typename T>
const T* row_of(const Tensor& x, index_t i) {
  return x.data<T>() + i * x.row_stride();
}

template <typename T>
const T* data_if(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

// Row i of the sum.
template <typename T>
void add_branch(Tensor& sum,
                index_t i,
                const Tensor& x,
                const Tensor& bias,
                const Tensor& residual,
                const DropoutRows& rows) {
  const DropoutRow row = rows.none() ? DropoutRow{} : rows.row(i);
  kernels<T>().add_branch(row_of<T>(sum, i), row_of<T>(x, i), data_if<T>(bias),
                          row_of<T>(residual, i), x.columns(), static_cast<T>(rows.factor()),
                          rows.none() ? nullptr : &row);
}

}  // namespace

void residual_forward(Tensor& sum,
                      const Tensor& x,
                      const Tensor& bias,
                      const Tensor& residual,
                      const DropoutSpec& dropout) {
  const DropoutRows rows(dropout);
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for_pieces(x.rows(), x.columns(),
               [&](index_t i) { add_branch<T>(sum, i, x, bias, residual, rows); });
  });
}

void residual_norm_forward(Tensor& sum,
                           Tensor& y,
                           Tensor& mean,
                           Tensor& rstd,
                           const Tensor& x,
                           const Tensor& bias,
                           const Tensor& residual,
                           const Tensor& weight,
                           const Tensor& norm_bias,
                           double eps,
                           const DropoutSpec& dropout) {
  const DropoutRows rows(dropout);
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(x.rows(), x.columns(), [&](index_t i) {
      add_branch<T>(sum, i, x, bias, residual, rows);
      kernel.layer_norm(row_of<T>(y, i), mean.data<T>() + i, rstd.data<T>() + i, row_of<T>(sum, i),
                        weight.data<T>(), data_if<T>(norm_bias), x.columns(), static_cast<T>(eps));
    });
  });
}

void residual_norm_backward(Tensor& dsum,
                            Tensor& dx,
                            const Tensor& dy,
                            const Tensor& other,
                            const Tensor& sum,
                            const Tensor& weight,
                            const Tensor& mean,
                            const Tensor& rstd,
                            const DropoutSpec& dropout) {
  const DropoutRows rows(dropout);
  with_type(sum.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    const index_t C = sum.columns();
    for_pieces(sum.rows(), C, [&](index_t i) {
      T* slope = row_of<T>(dsum, i);
      kernel.layer_norm_backward(slope, other.defined() ? row_of<T>(other, i) : nullptr,
                                 row_of<T>(dy, i), row_of<T>(sum, i), weight.data<T>(),
                                 mean.data<T>()[i], rstd.data<T>()[i], C);
      if (!dx.defined()) return;
      if (rows.none()) {
        std::copy_n(slope, C, row_of<T>(dx, i));
      } else {
        kernel.dropout(row_of<T>(dx, i), slope, C, static_cast<T>(rows.factor()), rows.row(i));
      }
    });
  });
}

}  // namespace lockstep::cpu
