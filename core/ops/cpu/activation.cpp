#include "core/ops/cpu/activation.hpp"

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {

void activation_forward(Tensor& y, const Tensor& x, const Tensor& bias, Activation activation) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = kernels<T>().activation[static_cast<int>(activation)];
    for_row_blocks(x, [&](index_t row, index_t first, index_t n) {
      kernel(y.data<T>() + row * y.row_stride() + first, x.data<T>() + row * x.row_stride() + first,
             bias.defined() ? bias.data<T>() + first : nullptr, n);
    });
  });
}

void activation_backward(Tensor& dx,
                         const Tensor& dy,
                         const Tensor& x,
                         const Tensor& bias,
                         Activation activation) {
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto kernel = kernels<T>().activation_backward[static_cast<int>(activation)];
    for_row_blocks(x, [&](index_t row, index_t first, index_t n) {
      kernel(dx.data<T>() + row * dx.row_stride() + first,
             dy.data<T>() + row * dy.row_stride() + first,
             x.data<T>() + row * x.row_stride() + first,
             bias.defined() ? bias.data<T>() + first : nullptr, n);
    });
  });
}

}  // namespace lockstep::cpu
