#include "core/ops/cpu/dropout.hpp"

#include "core/ops/cpu/dropout_rows.hpp"
#include "core/ops/cpu/kernels.hpp"
#include "core/ops/cpu/loops.hpp"

namespace lockstep::cpu {

DropoutRows::DropoutRows(const DropoutSpec& spec)
    : spec_(spec),
      threshold_(keep_threshold(spec.probability)),
      factor_(1.0 / (1.0 - spec.probability)) {}

DropoutRow DropoutRows::row(index_t row) const {
  const index_t global = spec_.first_row + row;
  const auto sample =
      static_cast<std::uint64_t>(spec_.sample_ids.data<std::int64_t>()[global / spec_.T]);
  return {static_cast<std::uint32_t>(spec_.first_position + global % spec_.T),
          static_cast<std::uint32_t>(sample),
          static_cast<std::uint32_t>(sample >> 32),
          spec_.key[0],
          spec_.key[1],
          static_cast<std::uint32_t>(threshold_)};
}

void dropout_forward(Tensor& y, const Tensor& x, const DropoutSpec& spec) {
  const DropoutRows rows(spec);
  if (rows.none()) {
    if (y.raw() != x.raw()) y.copy_from(x);
    return;
  }
  with_type(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto& kernel = kernels<T>();
    for_pieces(x.rows(), x.columns(), [&](index_t i) {
      kernel.dropout(y.data<T>() + i * y.row_stride(), x.data<T>() + i * x.row_stride(),
                     x.columns(), static_cast<T>(rows.factor()), rows.row(i));
    });
  });
}

void dropout_backward(Tensor& dx, const Tensor& dy, const DropoutSpec& spec) {
  cpu::dropout_forward(dx, dy, spec);
}

}  // namespace lockstep::cpu
