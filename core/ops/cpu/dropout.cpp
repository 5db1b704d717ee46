#include "core/ops/cpu/dropout.hpp"

#include "core/ops/cpu/elementwise.hpp"
#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {
namespace {

DropoutRow coordinates(const DropoutSpec& spec, index_t row, std::uint32_t threshold) {
  const index_t global = spec.first_row + row;
  const auto sample =
      static_cast<std::uint64_t>(spec.sample_ids.data<std::int64_t>()[global / spec.T]);
  return {static_cast<std::uint32_t>(spec.first_position + global % spec.T),
          static_cast<std::uint32_t>(sample),
          static_cast<std::uint32_t>(sample >> 32),
          spec.key[0],
          spec.key[1],
          threshold};
}

}  // namespace

void dropout_forward(Tensor& y, const Tensor& x, const Tensor& residual, const DropoutSpec& spec) {
  const std::uint64_t threshold = keep_threshold(spec.probability);
  if (threshold >> 32 != 0) {  // nothing is dropped
    if (residual.defined()) {
      cpu::add(y, x, residual);
    } else if (y.raw() != x.raw()) {
      y.copy_from(x);
    }
    return;
  }
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    const T factor = static_cast<T>(1.0 / (1.0 - spec.probability));
    for_pieces(x.rows(), x.columns(), [&](index_t i) {
      const T* other =
          residual.defined() ? residual.data<T>() + i * residual.row_stride() : nullptr;
      kernel.dropout(y.data<T>() + i * y.row_stride(), x.data<T>() + i * x.row_stride(), other,
                     x.columns(), factor,
                     coordinates(spec, i, static_cast<std::uint32_t>(threshold)));
    });
  });
}

void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec) {
  cpu::dropout_forward(dx, dy, Tensor(), spec);
}

}  // namespace lockstep::cpu
