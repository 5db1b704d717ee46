#include "core/ops/cpu/adamw.hpp"

#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"
#include "core/portable_math.hpp"

namespace lockstep::cpu {

void adamw(Tensor& value, Tensor& m, Tensor& v, const Tensor& gradient, const AdamWStep& step) {
  constexpr index_t block = 1 << 14;
  with_type(value.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    const AdamWConstants<T> constants = {
        .keep = static_cast<T>(1.0 - step.rate * step.decay),
        .rate = static_cast<T>(step.rate),
        .beta1 = static_cast<T>(step.beta1),
        .one_minus_beta1 = static_cast<T>(1.0 - step.beta1),
        .beta2 = static_cast<T>(step.beta2),
        .one_minus_beta2 = static_cast<T>(1.0 - step.beta2),
        .inverse_correction1 = static_cast<T>(1.0 / (1.0 - power(step.beta1, step.t))),
        .inverse_correction2 = static_cast<T>(1.0 / (1.0 - power(step.beta2, step.t))),
        .epsilon = static_cast<T>(step.epsilon),
        .scale = static_cast<T>(step.scale)};
    for_blocks(value.count(), block, 1, [&](index_t first, index_t n) {
      kernel.adamw(value.data<T>() + first, m.data<T>() + first, v.data<T>() + first,
                   gradient.data<T>() + first, n, constants);
    });
  });
}

}  // namespace lockstep::cpu
